//! Golden files: today's stored forms, one a line, `name: hex`.

use std::cell::RefCell;
use std::fmt::{Debug, Write};

use crate::embedded::database::Stored;

/// The lines of a golden file.
pub(crate) struct Golden {
    lines: Vec<String>,
    /// What the file should say, line by line.
    today: RefCell<Vec<String>>,
}

/// Reads a golden file; lines that begin with `#` are comments.
pub(crate) fn golden(text: &str) -> Golden {
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    Golden { lines, today: RefCell::default() }
}

impl Golden {
    /// The record is written as the file says, and what the file says reads back as the record.
    /// [`Golden::agrees`] says so for all at once.
    pub(crate) fn check<T: Stored + PartialEq + Debug>(&self, name: &str, record: &T) {
        let bytes = record.encode().unwrap();
        assert_eq!(&T::decode(&bytes).unwrap(), record, "{name}");
        let mut line = format!("{name}: ");
        for byte in bytes {
            write!(line, "{byte:02x}").unwrap();
        }
        self.today.borrow_mut().push(line);
    }

    /// Every record that was checked has its line, and every line its record.
    pub(crate) fn agrees(&self) {
        let today = self.today.borrow().join("\n");
        assert_eq!(self.lines.join("\n"), today, "stored forms changed; they are now:\n{today}");
    }
}
