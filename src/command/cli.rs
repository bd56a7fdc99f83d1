//! What stands on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use domain::ids::{AccountId, TransferId};

use crate::command::Operation;
use crate::config::{Layers, Profile};

/// QuickPe: a realtime wallet platform.
#[derive(Debug, Parser)]
#[command(name = "quickpe", version, about, max_term_width = 100)]
pub struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub common: Common,
    /// What to do; without it: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What all commands take.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The address to listen on; port 0 picks one [default: 127.0.0.1:5001]
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// The folder of the store [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A configuration file in TOML
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What the node is for [default: development]
    #[arg(long, global = true)]
    pub profile: Option<Profile>,
    /// Open shards whose stamps are ahead of the clock all the same
    #[arg(long, global = true)]
    pub accept_clock: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node
    Serve,
    /// Check every invariant of the store: 0 all hold, 1 one is broken, 4 the store is damaged
    Verify,
    /// Derive all views from the journal again
    RebuildViews,
    /// Print the configuration and where each value comes from
    Config,
    /// Operate the platform
    #[command(subcommand)]
    Admin(Admin),
}

/// Operations.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Give a person a role: user, treasury or admin
    Grant {
        /// Their e-mail
        email: String,
        /// The role
        role: String,
    },
    /// Money that could be given neither to its payee nor back
    #[command(subcommand)]
    Suspense(Suspense),
    /// Accounts
    #[command(subcommand)]
    Account(Account),
    /// Rewrite the identity store, so that what was erased is gone from the disk
    Compact,
    /// Show what a person's account may spend, or set it
    Limits {
        /// Their e-mail
        email: String,
        /// In one transaction: an amount, or none
        #[arg(long, value_name = "AMOUNT")]
        per_transaction: Option<String>,
        /// In one business day: an amount, or none
        #[arg(long, value_name = "AMOUNT")]
        per_day: Option<String>,
    },
    /// Make people with funded accounts, to try things with (development only)
    Synthesize {
        /// How many
        #[arg(long)]
        users: u32,
        /// What each has
        #[arg(long, value_name = "AMOUNT", default_value = "0")]
        balance: String,
        /// Write a line for each: user id, tab, access token
        #[arg(long, value_name = "FILE")]
        tokens: Option<PathBuf>,
        /// How many times one of them pays another the smallest amount there is
        #[arg(long, value_name = "COUNT", default_value_t = 0)]
        transfers: u64,
    },
}

/// Operations on suspense.
#[derive(Debug, Subcommand)]
pub enum Suspense {
    /// List all of it
    List,
    /// Offer it to its payee again
    Release {
        /// The transfer
        id: TransferId,
    },
    /// Send it back to its payer
    Return {
        /// The transfer
        id: TransferId,
    },
}

/// Operations on accounts.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// End an account's quarantine
    Release {
        /// The account
        id: AccountId,
    },
}

impl Common {
    /// The layers of the configuration: the file, the environment and these flags.
    pub fn layers(&self) -> Layers {
        let mut flags = Vec::new();
        if let Some(listen) = self.listen {
            flags.push(("listen", "--listen", listen.to_string()));
        }
        if let Some(data) = &self.data {
            flags.push(("data", "--data", data.display().to_string()));
        }
        if let Some(profile) = self.profile {
            flags.push(("profile", "--profile", profile.name().to_owned()));
        }
        if self.accept_clock {
            flags.push(("ledger.accept_clock", "--accept-clock", "true".to_owned()));
        }
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Layers { file: self.config.clone(), environment, flags }
    }
}

impl Admin {
    /// What is asked of the store.
    pub fn operation(self) -> Operation {
        match self {
            Self::Grant { email, role } => Operation::Grant { email, role },
            Self::Suspense(Suspense::List) => Operation::SuspenseList,
            Self::Suspense(Suspense::Release { id }) => Operation::SuspenseRelease { transfer: id },
            Self::Suspense(Suspense::Return { id }) => Operation::SuspenseReturn { transfer: id },
            Self::Account(Account::Release { id }) => Operation::AccountRelease { account: id },
            Self::Compact => Operation::Compact,
            Self::Limits { email, per_transaction, per_day } => Operation::Limits { email, per_transaction, per_day },
            Self::Synthesize { users, balance, tokens, transfers } => {
                // The node that writes the file may run in another folder. Without one, as it is.
                let tokens = tokens.map(|path| std::path::absolute(&path).unwrap_or(path));
                Operation::Synthesize { users, balance, tokens, transfers }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["quickpe", "admin", "grant", "a@example.com", "admin", "--data", "x"]).unwrap();
        assert_eq!(cli.common.data, Some(PathBuf::from("x")));
        let Some(Command::Admin(admin)) = cli.command else { panic!("it is an admin command") };
        assert_eq!(admin.operation(), Operation::Grant { email: "a@example.com".into(), role: "admin".into() });
        assert!(Cli::try_parse_from(["quickpe"]).unwrap().command.is_none());
        assert!(Cli::try_parse_from(["quickpe", "--listen", "nowhere"]).is_err());
    }
}
