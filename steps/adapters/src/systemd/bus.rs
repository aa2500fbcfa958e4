//! The manager's interface, as far as it is needed: some methods, one signal, some properties.

use std::time::Duration;

use recover_steps::Instance;
use zbus::{Connection, connection, fdo, proxy};
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::config::Manager;
use crate::trouble::{Trouble, code};

/// How long one call may take. A job is awaited apart from it, within the step's own time.
const CALL_WITHIN: Duration = Duration::from_secs(10);

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Systemd1 {
    fn subscribe(&self) -> zbus::Result<()>;
    fn reload(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn get_unit_processes(&self, name: &str) -> zbus::Result<Vec<(String, u32, String)>>;

    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// What the manager says of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) active: String,
    pub(crate) sub: String,
    invocation: Vec<u8>,
}

impl State {
    /// The life that runs, if one does.
    pub(crate) fn life(&self) -> Option<Instance> {
        let runs = match self.active.as_str() {
            "active" | "reloading" | "refreshing" => self.sub != "exited",
            // Between two lives nothing runs.
            "activating" => !self.is_between_lives(),
            _ => false,
        };
        self.latest().filter(|_| runs)
    }

    /// The life that was begun last, whether it runs or has ended.
    pub(crate) fn latest(&self) -> Option<Instance> {
        let id: String = self.invocation.iter().map(|byte| format!("{byte:02x}")).collect();
        (!id.is_empty()).then_some(Instance(id))
    }

    /// The life that the manager is about: it runs, or it has ended and the next follows by itself.
    pub(crate) fn begun(&self) -> Option<Instance> {
        if self.is_between_lives() { self.latest() } else { self.life() }
    }

    /// Whether its life has ended and the manager waits to begin the next.
    pub(crate) fn is_between_lives(&self) -> bool {
        self.sub.starts_with("auto-restart")
    }

    /// Whether nothing of it runs and nothing of its own will start it.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }
}

/// A bind mount in a unit's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) may_be_missing: bool,
    /// Without the mounts below it.
    pub(crate) is_flat: bool,
}

/// `mount(2)`: with the mounts below.
const MS_REC: u64 = 0x4000;

/// One unit of one manager.
#[derive(Debug)]
pub(crate) struct Bus {
    unit: String,
    connection: Connection,
}

impl Bus {
    pub(crate) async fn to(manager: Manager, unit: &str) -> Result<Self, Trouble> {
        let builder = match manager {
            Manager::System => connection::Builder::system(),
            Manager::User => connection::Builder::session(),
        };
        let connecting = builder.method_timeout(CALL_WITHIN).build();
        let connection = match tokio::time::timeout(CALL_WITHIN, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(e)) => return Err(Trouble::retry(format!("systemd cannot be reached: {e}"))),
            Err(_) => return Err(Trouble::retry("systemd does not answer")),
        };
        Ok(Self { unit: unit.to_owned(), connection })
    }

    pub(crate) fn unit(&self) -> &str {
        &self.unit
    }

    async fn manager(&self) -> Result<Systemd1Proxy<'_>, Trouble> {
        Systemd1Proxy::new(&self.connection).await.map_err(|e| self.failed("asked", &e))
    }

    async fn property(&self, interface: &str, name: &str) -> Result<OwnedVariant, Trouble> {
        let asked = |e: &zbus::Error| self.failed("asked", e);
        let path = self.manager().await?.load_unit(&self.unit).await.map_err(|e| asked(&e))?;
        let builder = fdo::PropertiesProxy::builder(&self.connection).destination("org.freedesktop.systemd1");
        let properties = builder.path(path).build().await.map_err(|e| asked(&e))?;
        let interface = zbus::names::InterfaceName::try_from(interface).map_err(|e| asked(&e))?;
        properties.get(interface, name).await.map_err(|e| asked(&e.into()))
    }

    async fn text(&self, name: &str) -> Result<String, Trouble> {
        let value = self.property("org.freedesktop.systemd1.Unit", name).await?;
        String::try_from(value).map_err(|e| self.failed("asked", &e))
    }

    /// What the unit is doing. A unit that there is not, or that is masked or broken, is refused; so is another name of a unit:
    /// under two names it would be two targets, and nothing would keep their runs apart.
    pub(crate) async fn state(&self) -> Result<State, Trouble> {
        match self.text("LoadState").await?.as_str() {
            "loaded" => {}
            "not-found" => {
                return Err(Trouble::refused(
                    code::WORKLOAD,
                    format!("{}: there is no such unit; `systemctl list-unit-files` names those there are", self.unit),
                ));
            }
            other => {
                return Err(Trouble::refused(
                    code::WORKLOAD,
                    format!("{}: the unit is {other}; `systemctl status` tells why", self.unit),
                ));
            }
        }
        let id = self.text("Id").await?;
        if id != self.unit {
            return Err(Trouble::refused(
                code::WORKLOAD,
                format!("{} is another name of {id}; write that one in the configuration", self.unit),
            ));
        }
        let invocation = self.property("org.freedesktop.systemd1.Unit", "InvocationID").await?;
        let invocation = Vec::<u8>::try_from(invocation).map_err(|e| self.failed("asked", &e))?;
        Ok(State { active: self.text("ActiveState").await?, sub: self.text("SubState").await?, invocation })
    }

    /// How often the manager started it again by itself since somebody last started it.
    pub(crate) async fn restarts(&self) -> Result<u32, Trouble> {
        let value = self.property("org.freedesktop.systemd1.Service", "NRestarts").await?;
        u32::try_from(value).map_err(|e| self.failed("asked", &e))
    }

    /// The files that its text comes from: the unit's own, and those that change it.
    pub(crate) async fn texts(&self) -> Result<(String, Vec<String>), Trouble> {
        self.state().await?;
        let drop_ins = self.property("org.freedesktop.systemd1.Unit", "DropInPaths").await?;
        let drop_ins = Vec::<String>::try_from(drop_ins).map_err(|e| self.failed("asked", &e))?;
        Ok((self.text("FragmentPath").await?, drop_ins))
    }

    /// The variables that its text sets, as `NAME=VALUE`. What it reads from files is not among them.
    pub(crate) async fn environment(&self) -> Result<Vec<String>, Trouble> {
        self.state().await?;
        let value = self.property("org.freedesktop.systemd1.Service", "Environment").await?;
        Vec::<String>::try_from(value).map_err(|e| self.failed("asked", &e))
    }

    /// What its text mounts in its own view of the files, writable.
    pub(crate) async fn binds(&self) -> Result<Vec<Bind>, Trouble> {
        self.state().await?;
        let value = self.property("org.freedesktop.systemd1.Service", "BindPaths").await?;
        let told = Vec::<(String, String, bool, u64)>::try_from(value).map_err(|e| self.failed("asked", &e))?;
        let bind = |(from, to, may_be_missing, flags): (String, String, bool, u64)| Bind {
            from,
            to,
            may_be_missing,
            is_flat: flags & MS_REC == 0,
        };
        Ok(told.into_iter().map(bind).collect())
    }

    /// Has the manager read the units' texts again. Nothing is stopped or started by that.
    pub(crate) async fn reload(&self) -> Result<(), Trouble> {
        self.manager().await?.reload().await.map_err(|e| self.failed("reloaded", &e))
    }

    /// The processes in its control group.
    pub(crate) async fn processes(&self) -> Result<Vec<u32>, Trouble> {
        match self.manager().await?.get_unit_processes(&self.unit).await {
            Ok(found) => Ok(found.into_iter().map(|(_, pid, _)| pid).collect()),
            // The manager forgets a unit of which nothing is left; as long as one process is, it does not.
            Err(e) if named(&e, "org.freedesktop.systemd1.NoSuchUnit") => Ok(Vec::new()),
            Err(e) => Err(self.failed("asked", &e)),
        }
    }

    /// Stops it; how the job ended.
    pub(crate) async fn stop(&self) -> Result<String, Trouble> {
        self.job(async |manager| manager.stop_unit(&self.unit, "replace").await, "stopped").await
    }

    /// Starts it; how the job ended.
    pub(crate) async fn start(&self) -> Result<String, Trouble> {
        self.job(async |manager| manager.start_unit(&self.unit, "replace").await, "started").await
    }

    async fn job(
        &self,
        call: impl AsyncFnOnce(&Systemd1Proxy<'_>) -> zbus::Result<OwnedObjectPath>,
        what: &str,
    ) -> Result<String, Trouble> {
        use std::future::poll_fn;
        use std::pin::Pin;

        let manager = self.manager().await?;
        // Before the job is made: it may be over as soon as it is.
        let mut removed = manager.receive_job_removed().await.map_err(|e| self.failed(what, &e))?;
        manager.subscribe().await.map_err(|e| self.failed(what, &e))?;
        let job = call(&manager).await.map_err(|e| self.failed(what, &e))?;
        loop {
            let signal =
                poll_fn(|context| zbus::export::futures_core::Stream::poll_next(Pin::new(&mut removed), context));
            let Some(signal) = signal.await else {
                return Err(Trouble::Unknown(format!("{}: systemd went away before it was {what}", self.unit)));
            };
            let told = signal.args().map_err(|e| Trouble::Unknown(format!("{}: {e}", self.unit)))?;
            if told.job == job {
                return Ok(told.result.clone());
            }
        }
    }

    /// A call that was refused surely did nothing; one without an answer may have.
    fn failed(&self, what: &str, error: &zbus::Error) -> Trouble {
        let text = format!("{} cannot be {what}: {error}", self.unit);
        match said_no(error) {
            Some(No::Denied) => {
                let hint = "run as root, or allow org.freedesktop.systemd1.manage-units for this unit in polkit";
                Trouble::refused(code::WORKLOAD, format!("{text}; {hint}"))
            }
            Some(No::Other) => Trouble::refused(code::WORKLOAD, text),
            None if what == "asked" => Trouble::retry(text),
            None => Trouble::Unknown(text),
        }
    }
}

/// How a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum No {
    /// For want of a right.
    Denied,
    /// For another reason.
    Other,
}

/// Whether the other side said no; `None` if it may as well have done it. The errors that every bus has come with a type of their own.
fn said_no(error: &zbus::Error) -> Option<No> {
    use fdo::Error as E;
    let zbus::Error::FDO(error) = error else {
        return matches!(error, zbus::Error::MethodError(..)).then_some(No::Other);
    };
    if matches!(**error, E::AccessDenied(_) | E::InteractiveAuthorizationRequired(_) | E::AuthFailed(_)) {
        return Some(No::Denied);
    }
    let no = matches!(
        **error,
        E::UnknownMethod(_)
            | E::UnknownObject(_)
            | E::UnknownInterface(_)
            | E::InvalidArgs(_)
            | E::NotSupported(_)
            | E::LimitsExceeded(_)
    );
    no.then_some(No::Other)
}

/// Whether the manager answered with the error of this name.
fn named(error: &zbus::Error, name: &str) -> bool {
    matches!(error, zbus::Error::MethodError(found, ..) if found.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_between_two_lives_does_not_run_and_is_not_down() {
        let state =
            |active: &str, sub: &str| State { active: active.into(), sub: sub.into(), invocation: vec![0xab, 1] };
        for (active, sub, runs, down) in [
            ("active", "running", true, false),
            ("active", "exited", false, false),
            ("reloading", "reload", true, false),
            ("activating", "start", true, false),
            ("activating", "auto-restart", false, false),
            ("activating", "auto-restart-queued", false, false),
            ("deactivating", "stop-sigterm", false, false),
            ("inactive", "dead", false, true),
            ("failed", "failed", false, true),
        ] {
            let state = state(active, sub);
            assert_eq!((state.life().is_some(), state.is_down()), (runs, down), "{active} {sub}");
        }
        assert_eq!(state("active", "running").life(), Some(Instance("ab01".into())));
        let between = state("activating", "auto-restart");
        assert_eq!((between.life(), between.begun()), (None, between.latest()), "the next life follows by itself");
        assert_eq!(state("failed", "failed").begun(), None);
        let nameless = State { invocation: Vec::new(), ..state("active", "running") };
        assert_eq!(nameless.life(), None, "a life that cannot be told from another is none");
    }

    #[test]
    fn a_denial_of_polkit_is_a_refusal_and_no_doubt() {
        let said = |error: fdo::Error| said_no(&zbus::Error::FDO(Box::new(error)));
        let why = || "Interactive authentication required.".to_owned();
        assert_eq!(said(fdo::Error::InteractiveAuthorizationRequired(why())), Some(No::Denied));
        assert_eq!(said(fdo::Error::AccessDenied(why())), Some(No::Denied));
        assert_eq!(said(fdo::Error::InvalidArgs(why())), Some(No::Other));
        for silent in [fdo::Error::NoReply(why()), fdo::Error::Disconnected(why()), fdo::Error::TimedOut(why())] {
            assert_eq!(said(silent), None, "it may have been done");
        }
        assert_eq!(said_no(&zbus::Error::InvalidReply), None);
    }
}
