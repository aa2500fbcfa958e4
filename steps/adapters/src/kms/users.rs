//! Users and groups by name or number, and what a mode lets one of them do.

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// Whom something runs as, with the groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Further groups.
    pub(super) groups: Vec<u32>,
}

impl Who {
    /// The user of that name or number. A number that nobody has is a user too: its group has the same number.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let user = match name.parse::<u32>() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid)).ok().flatten().ok_or(uid),
            Err(_) => match User::from_name(name) {
                Ok(Some(user)) => Ok(user),
                Ok(None) => return Err(format!("there is no user {name}")),
                Err(e) => return Err(format!("the user {name} cannot be looked up: {e}")),
            },
        };
        Ok(match user {
            Ok(user) => {
                let own = std::ffi::CString::new(user.name.as_str()).ok();
                let listed = own.and_then(|name| getgrouplist(&name, user.gid).ok()).unwrap_or_default();
                let groups = listed.into_iter().map(Gid::as_raw).filter(|gid| *gid != user.gid.as_raw()).collect();
                Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), groups }
            }
            Err(number) => Self { uid: number, gid: number, groups: Vec::new() },
        })
    }

    /// Whoever runs this.
    pub(super) fn here() -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: groups.into_iter().map(rustix::process::Gid::as_raw).collect(),
        }
    }

    /// The same with one group more.
    pub(super) fn with(mut self, gid: u32) -> Self {
        if self.gid != gid && !self.groups.contains(&gid) {
            self.groups.push(gid);
        }
        self
    }

    fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether somebody's file of this mode lets it do all of these: 4 to read, 2 to write, 1 to enter. The first class that fits decides.
    pub(super) fn may(&self, uid: u32, gid: u32, mode: u32, want: u32) -> bool {
        let class = if self.uid == uid {
            mode >> 6
        } else if self.is_in(gid) {
            mode >> 3
        } else {
            mode
        };
        self.uid == 0 || class & want == want
    }
}

/// The group of that name or number.
pub(super) fn group(name: &str) -> Result<u32, String> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(format!("there is no group {name}")),
        Err(e) => Err(format!("the group {name} cannot be looked up: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides() {
        let who = Who { uid: 7, gid: 8, groups: vec![9] };
        assert!(who.may(7, 1, 0o600, 6) && !who.may(7, 8, 0o066, 4), "the owner is not asked as one of the group");
        assert!(who.may(1, 9, 0o060, 6) && !who.may(1, 9, 0o606, 6));
        assert!(who.may(1, 1, 0o006, 6) && !who.may(1, 1, 0o660, 4));
        assert!(Who { uid: 0, gid: 0, groups: Vec::new() }.may(1, 1, 0, 7));
    }

    #[test]
    fn names_and_numbers_are_users() {
        assert_eq!(Who::named("root").unwrap().uid, 0);
        assert_eq!(Who::named("0").unwrap().gid, 0);
        assert_eq!(Who::named("4242424").unwrap(), Who { uid: 4_242_424, gid: 4_242_424, groups: Vec::new() });
        assert!(Who::named("no-such-user").is_err() && group("no-such-group").is_err());
        assert_eq!(group("7"), Ok(7));
    }
}
