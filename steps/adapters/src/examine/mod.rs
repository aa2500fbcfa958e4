//! Reading everything that tells what is wrong with a connector. Only reads: no step of it writes, starts, stops or posts, and
//! no failure of it is an error; what could not be read says why.

mod examination;
mod reach;

pub use examination::Examination;
