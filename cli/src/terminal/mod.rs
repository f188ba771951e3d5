//! Standard output, standard error, questions, and the text form of values.

pub(crate) mod format;
pub(crate) mod printer;
pub(crate) mod question;
pub(crate) mod shell;
pub(crate) mod stdout;
