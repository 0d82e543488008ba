//! The command table as a document.
