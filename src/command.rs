//! The command line: what an operator asks of a node, whether one is running or not.
//!
//! An [`Operation`] that needs an open store goes to the running node over its control socket; with none running the
//! command opens the store itself. Either way the same code does it, in [`Context::run`].

pub mod admin;
pub mod backup;
pub mod cli;
pub mod doctor;
pub mod export;
pub mod failure;
pub mod import;
pub mod migrate;
pub mod output;
pub mod progress;
pub mod rebuild;
pub mod restore;
pub mod socket;
pub mod synthesize;
pub mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use domain::ids::{AccountId, RoomId, TransferId};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::command::failure::{Exit, Failure};
use crate::command::output::Output;
use crate::command::progress::Bar;
use crate::config::Config;
use crate::node::store::Store;
use crate::node::stores::{PeopleStores, SpaceStores};
use crate::node::{Assembly, Publishers};

/// What is asked of an open store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "operation")]
pub enum Operation {
    /// Check every invariant.
    Verify,
    /// Derive all views again. Only on a stopped node.
    RebuildViews,
    /// Copy the store while it is served.
    Backup {
        /// Where to.
        folder: PathBuf,
        /// Read everything there again, not only what is new.
        check_all: bool,
    },
    /// Write the whole store into files. Only without a node.
    Export {
        /// Where to.
        folder: PathBuf,
    },
    /// Make a store of an export. Only without a node.
    Import {
        /// From where.
        folder: PathBuf,
        /// How many shards the store shall have; as many as it had if absent.
        shards: Option<u16>,
    },
    /// Put a backup into an empty data folder. Only without a node.
    Restore {
        /// From where.
        folder: PathBuf,
    },
    /// Give a person a role.
    Grant {
        /// Who.
        email: String,
        /// Which.
        role: String,
    },
    /// List what rests in suspense.
    SuspenseList,
    /// Offer a credit in suspense to its payee again.
    SuspenseRelease {
        /// The transfer.
        transfer: TransferId,
    },
    /// Send a credit in suspense back to its payer.
    SuspenseReturn {
        /// The transfer.
        transfer: TransferId,
    },
    /// End an account's quarantine.
    AccountRelease {
        /// Which.
        account: AccountId,
    },
    /// End a room's quarantine.
    RoomRelease {
        /// Which.
        room: RoomId,
    },
    /// Rewrite the identity store, so that what was erased is gone from the disk.
    Compact,
    /// Show or set what a person's account may spend.
    Limits {
        /// Who.
        email: String,
        /// In one transaction: an amount, or `none`.
        per_transaction: Option<String>,
        /// In one business day: an amount, or `none`.
        per_day: Option<String>,
    },
    /// Make people with funded accounts.
    Synthesize {
        /// How many.
        users: u32,
        /// What each has, in the major unit.
        balance: String,
        /// Where to write their access tokens.
        tokens: Option<PathBuf>,
        /// How many times one of them pays another.
        transfers: u64,
    },
}

impl Operation {
    /// What it is called in the log, which holds nothing of whom it is about.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::RebuildViews => "rebuild-views",
            Self::Backup { .. } => "backup",
            Self::Export { .. } => "export",
            Self::Import { .. } => "import",
            Self::Restore { .. } => "restore",
            Self::Grant { .. } => "grant",
            Self::SuspenseList => "suspense list",
            Self::SuspenseRelease { .. } => "suspense release",
            Self::SuspenseReturn { .. } => "suspense return",
            Self::AccountRelease { .. } => "account release",
            Self::RoomRelease { .. } => "room release",
            Self::Compact => "compact",
            Self::Limits { .. } => "limits",
            Self::Synthesize { .. } => "synthesize",
        }
    }
}

/// An open store, running or not.
#[derive(Clone)]
pub struct Context {
    /// The node's parts.
    pub app: Arc<App>,
    /// The journal and the views.
    pub stores: Arc<SpaceStores>,
    /// The same of rooms.
    pub room_stores: Arc<SpaceStores>,
    /// People and their devices.
    pub people: Arc<PeopleStores>,
    /// The store that they are of.
    pub store: Arc<Store>,
}

impl Context {
    /// Does what is asked, and says what there is to say.
    ///
    /// # Errors
    /// It could not be done; for [`Operation::Verify`] also that an invariant is broken.
    pub async fn run(&self, operation: Operation, out: &Output) -> Result<(), Failure> {
        match operation {
            Operation::Verify => verify::running(self, out).await,
            Operation::RebuildViews => Err(Failure::failed("the node is running: stop it, and views can be rebuilt")),
            Operation::Backup { folder, check_all } => backup::run(self, &folder, check_all, out).await,
            Operation::Export { .. } => {
                Err(Failure::failed("the node is running: stop it, and the store can be exported"))
            }
            Operation::Import { .. } => {
                Err(Failure::failed("a node serves this data folder: an export is imported into an empty store"))
            }
            Operation::Restore { .. } => {
                Err(Failure::failed("a node serves this data folder: a backup is restored into an empty one"))
            }
            Operation::Grant { email, role } => admin::grant(self, &email, &role, out).await,
            Operation::SuspenseList => admin::list_suspense(self, out).await,
            Operation::SuspenseRelease { transfer } => admin::release_suspense(self, transfer, out).await,
            Operation::SuspenseReturn { transfer } => admin::return_suspense(self, transfer, out).await,
            Operation::AccountRelease { account } => admin::release_account(self, account, out).await,
            Operation::RoomRelease { room } => admin::release_room(self, room, out).await,
            Operation::Compact => admin::compact(self, out).await,
            Operation::Limits { email, per_transaction, per_day } => {
                admin::limits(self, &email, per_transaction.as_deref(), per_day.as_deref(), out).await
            }
            Operation::Synthesize { users, balance, tokens, transfers } => {
                synthesize::run(self, users, &balance, tokens.as_deref(), transfers, out).await
            }
        }
    }
}

/// Does what is asked: through the running node, or with the store opened here.
///
/// # Errors
/// As [`Context::run`]; [`Exit::Locked`] if the store is in use and its holder does not answer.
pub async fn run(config: Arc<Config>, metrics: PrometheusHandle, operation: Operation) -> Result<(), Failure> {
    let (out, printing) = output::printer(operation_name(&operation));
    let done = run_here(&config, metrics, operation.clone(), &out).await;
    let done = match done {
        Err(Failure { exit: Exit::Locked, message }) => {
            socket::ask(&config.data, &operation, &out).await.map_err(|failure| match failure.exit {
                Exit::Locked => Failure::locked(format!("{message}, which does not answer: {}", failure.message)),
                _ => failure,
            })
        }
        done => done,
    };
    drop(out);
    // Ends when all there was to say is printed.
    printing.await.ok();
    done
}

async fn run_here(
    config: &Arc<Config>,
    metrics: PrometheusHandle,
    operation: Operation,
    out: &Output,
) -> Result<(), Failure> {
    match operation {
        Operation::Verify => verify::stopped(config, out).await,
        Operation::RebuildViews => rebuild::run(config, out).await,
        Operation::Export { folder } => export::run(config, &folder, out).await,
        Operation::Import { folder, shards } => import::run(config, &folder, shards, out).await,
        Operation::Restore { folder } => restore::run(config, &folder, out).await,
        operation => {
            let bar = Bar::new("bringing the views up");
            let opened = Assembly::open(Arc::clone(config), metrics, Publishers::none(), false, &|at| bar.at(at)).await;
            bar.clear();
            let assembly = opened?;
            let done = assembly.context().run(operation, out).await;
            assembly.close(config.drain.patience()).await;
            done
        }
    }
}

/// What a progress bar says of an operation.
fn operation_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Verify => "verifying",
        Operation::RebuildViews => "rebuilding the views",
        Operation::Backup { .. } => "copying",
        Operation::Export { .. } => "exporting",
        Operation::Import { .. } => "importing",
        Operation::Restore { .. } => "restoring",
        _ => "working",
    }
}
