//! `kms-auth`: a provider cannot log in to OpenBao, with a JWT or a certificate (K6).
//!
//! Fresh material comes from an issuer outside of the failing cluster, brought by a person or an issuer; it is put in place, never made.
//! No role is made wider and no login tried out. The provider reads its material again before it logs in, so it gets the time to, and is
//! restarted only if it does not recover by itself.

use recover_steps::kms::{AuthSeen, Check, Layer as Of, Node, ProviderChecked};

use crate::kms::plans::{all_serve, ask, serves};
use crate::kms::{Case, Cause, Change, Event, Finding, Kms, Layer, Look, Task, Topic};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {}

/// The machine.
pub type KmsAuth = Kms<Auth>;

/// Fresh material is put in place, and the provider left to log in with it.
fn installs(node: &Node, sha256: &str, text: String) -> Vec<Task> {
    let mut tasks = vec![
        ask(Topic::InstallAuth, text),
        Task::Change(Change::InstallAuth(node.clone(), sha256.to_owned())),
        Task::Verify(Look::Auth(node.clone())),
    ];
    tasks.extend(serves(node));
    tasks
}

/// What is in place looks as it must, and the login with it fails: a signature is for OpenBao alone to check.
fn refused(node: &Node, fresh: Option<&str>, why: &str) -> Vec<Task> {
    if let Some(sha256) = fresh {
        let text = format!(
            "The login material of {node} looks as it must, and the login fails: {why}. If its issuer signs with another key now, what was \
             signed with the one before is refused. Fresh material lies ready (sha256 {sha256}). Was it issued by the recorded issuer, and \
             not by the cluster that fails? Put it in place?"
        );
        return installs(node, sha256, text);
    }
    let text = format!(
        "The login material of {node} looks as it must, and the login fails: {why}. Compare the role's bound issuer, audience, subject or \
         certificate constraints; the issuer's current keys (JWKS, discovery or pinned); whether the listener asks for client certificates; \
         and the clocks of host, OpenBao, issuer and CA. Do not make the role wider. If the issuer signs with another key now, bring fresh \
         material to the configured place."
    );
    // What was brought is seen by the first look, and whether the login works now by the second.
    vec![ask(Topic::AuthMended, text), Task::Again(Look::Auth(node.clone())), Task::Again(Look::Checks(node.clone()))]
}

impl Cause for Auth {
    const NAME: &'static str = names::KMS_AUTH;
    const VERSION: u16 = 2;
    const TITLE: &'static str = "a KMS provider cannot log in to OpenBao";
    const LAYERS: &'static [Layer] =
        &[Layer::Openbao, Layer::Key, Layer::Config, Layer::Registry, Layer::Auth, Layer::Checks];
    const CHANGES: &'static [&'static str] = &["install-auth", "restart-provider", "start-provider"];

    fn plan(case: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Auth(node), Event::LookAuth(AuthSeen::Unusable { why, fresh: Some(sha256) })) => {
                let text = format!(
                    "The provider of {node} cannot log in with what it has: {why}. Fresh material lies ready (sha256 {sha256}). Was it \
                     issued by the recorded issuer, and not by the cluster that fails? Put it in place?"
                );
                Some(installs(node, sha256, text))
            }
            (Look::Auth(node), Event::LookAuth(AuthSeen::Unusable { why, fresh: None })) => {
                let text = format!(
                    "The provider of {node} cannot log in with what it has: {why}. Bring fresh material from the recorded issuer to the \
                     configured place: a JWT or a certificate, never one of the cluster that fails."
                );
                Some(vec![ask(Topic::AuthMended, text), Task::Again(found.look.clone())])
            }
            (Look::Checks(node), Event::CheckProvider(ProviderChecked::Failed { checks })) => match checks.first() {
                Some(Check { layer: Of::Auth, id, message }) => {
                    Some(refused(node, case.fresh(node), &format!("{id} says {message}")))
                }
                Some(_) | None => None,
            },
            _ => None,
        }
    }

    fn afterwards(case: &Case) -> Vec<Task> {
        all_serve(case)
    }
}
