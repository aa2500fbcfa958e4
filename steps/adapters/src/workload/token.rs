//! How a workload gets to see a token, and how that is taken back: a file on tmpfs, or a Secret of Kubernetes.

use std::path::Path;

use recover_engine::RunId;
use secrecy::SecretString;

use super::{Workload, handover};
use crate::trouble::{Trouble, code};

impl Workload {
    /// The file through which it gets a token, as a path on this host, on tmpfs; where it gets it so.
    fn token_file(&self) -> Option<&Path> {
        match self {
            Self::Process(process) => Some(process.token_file()),
            Self::Systemd(unit) => Some(unit.token_file()),
            Self::Docker(container) => Some(container.token_file()),
            Self::Kubernetes(_) => None,
        }
    }

    /// The token as the workload is to find it in that file.
    fn worded(&self, secret: &SecretString) -> SecretString {
        match self {
            Self::Systemd(unit) => unit.worded(secret),
            Self::Process(_) | Self::Docker(_) | Self::Kubernetes(_) => secret.clone(),
        }
    }

    /// Proves that a token can be handed over, before there is one.
    pub(crate) async fn prove_handover(&self) -> Result<(), Trouble> {
        match (self, self.token_file()) {
            (Self::Kubernetes(owner), _) => owner.prove_handover().await,
            (_, Some(file)) => handover::prove(file).map_err(|e| {
                Trouble::refused(code::SECRETS, format!("no token can be handed over at {}: {e}", file.display()))
            }),
            (_, None) => Ok(()),
        }
    }

    /// Puts the token within the workload's sight, and tells it of it where it does not look by itself.
    pub(crate) async fn hand_over(&self, run: RunId, label: &str, secret: &SecretString) -> Result<(), Trouble> {
        let refused = |text: String| Trouble::refused(code::SECRETS, text);
        match (self, self.token_file()) {
            (Self::Kubernetes(owner), _) => owner.hand_over(run, label, secret).await,
            (_, Some(file)) => {
                handover::write(file, label, &self.worded(secret))
                    .map_err(|e| refused(format!("the token cannot be handed over at {}: {e}", file.display())))?;
                match self {
                    // Nobody reads a drop-in without a start.
                    Self::Systemd(unit) => unit.show_token().await.map_err(|t| refused(t.text().to_owned())),
                    Self::Process(_) | Self::Docker(_) | Self::Kubernetes(_) => Ok(()),
                }
            }
            (_, None) => Ok(()),
        }
    }

    /// Takes our token out of the workload's sight, if it is there. Trying again does no harm.
    pub(crate) async fn take_back(
        &self,
        run: RunId,
        label: &str,
        secret: Option<&SecretString>,
    ) -> Result<(), Trouble> {
        match (self, self.token_file()) {
            (Self::Kubernetes(owner), _) => owner.take_back(run, label).await,
            (_, Some(file)) => {
                if let Self::Systemd(unit) = self {
                    // First: a unit that is told of a file that is not there does not start.
                    unit.hide_token().await?;
                }
                let worded = secret.map(|secret| self.worded(secret));
                handover::remove(file, label, worded.as_ref(), run.begun_at()).map_err(|e| {
                    // It stays there until it can be removed.
                    Trouble::retry(format!("the file {} cannot be removed ({e})", file.display()))
                })
            }
            (_, None) => Ok(()),
        }
    }

    /// Where a token is within its sight, if one is.
    pub(crate) async fn token_in_sight(&self) -> Result<Option<String>, Trouble> {
        match (self, self.token_file()) {
            (Self::Kubernetes(owner), _) => owner.token_in_sight().await,
            (_, file) => Ok(file.filter(|file| file.symlink_metadata().is_ok()).map(|file| file.display().to_string())),
        }
    }
}
