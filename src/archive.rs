//! A folder of files that together are something: what backups and exports are kept as.
//!
//! A manifest names each file with its length and its hash, and is replaced whole when all that it names is on the disk.
//! So a folder is what its manifest says, however its writer ended.

pub mod files;
pub mod manifest;

pub use files::FilePart;
pub use manifest::Kind;
