//! The steps themselves, each a method of [`Connector`](crate::Connector).

mod crash_loop;
mod enrollment;
mod evidence;
mod join;
mod life;
mod look;
mod mint;
mod pair;
mod reach;
mod revoke;

pub(crate) use look::agree;

#[cfg(feature = "testing")]
pub(crate) use pair::Fate;
