//! Standard output, standard error, questions, and how values read there.

pub(crate) mod format;
pub(crate) mod printer;
pub(crate) mod question;
pub(crate) mod stdout;
