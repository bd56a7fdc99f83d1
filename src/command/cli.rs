//! What stands on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use domain::ids::{AccountId, RoomId, TransferId};

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
    /// Copy the store in the data folder into DIR, while a node serves it or not; again: what is new
    Backup {
        /// A folder of its own, on another disk
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Read all that is in DIR again, not only what was copied now
        #[arg(long)]
        check_all: bool,
    },
    /// Write the whole of a store that no node serves into files in DIR; again: go on where it was
    Export {
        /// A folder of its own
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Make a store of the export in DIR, embedded or on CQL as configured; again: go on where it was
    Import {
        /// The folder of the export
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Give the store this number of shards, 64 to 1024; nothing may be in transit between the old ones
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(64..=1024))]
        shards: Option<u16>,
    },
    /// Put the backup in DIR into an empty data folder
    Restore {
        /// The folder of the backup
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Bring the schema of a store on CQL to this build's version, and make the store if there is none
    Migrate,
    /// Look at the configuration and at what it leads to, and say what to mend: 1 if anything must be
    Doctor {
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration and where each value comes from
    Config,
    /// Operate the platform
    #[command(subcommand)]
    Admin(Admin),
}

/// Operations.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Give a person a role: user, treasury, admin or support
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
    /// Rooms
    #[command(subcommand)]
    Room(Room),
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

/// Operations on rooms.
#[derive(Debug, Subcommand)]
pub enum Room {
    /// End a room's quarantine
    Release {
        /// The room
        id: RoomId,
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
            // One clock stamps accounts and rooms.
            for key in ["ledger.accept_clock", "rooms.accept_clock"] {
                flags.push((key, "--accept-clock", "true".to_owned()));
            }
        }
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Layers { file: self.config.clone(), environment, flags }
    }
}

/// A path as another process finds it, which may run in another folder.
pub fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
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
            Self::Room(Room::Release { id }) => Operation::RoomRelease { room: id },
            Self::Compact => Operation::Compact,
            Self::Limits { email, per_transaction, per_day } => Operation::Limits { email, per_transaction, per_day },
            Self::Synthesize { users, balance, tokens, transfers } => {
                Operation::Synthesize { users, balance, tokens: tokens.map(absolute), transfers }
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
        for (shards, is_fine) in [("63", false), ("64", true), ("1024", true), ("1025", false), ("all", false)] {
            let parsed = Cli::try_parse_from(["quickpe", "import", "x", "--shards", shards]);
            assert_eq!(parsed.is_ok(), is_fine, "{shards}");
        }
    }
}
