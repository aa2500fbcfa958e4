//! What a person is asked: the name of each question, what can be answered, and what happens if nobody does.

use recover_engine::{Choice, Question};

use super::case::Case;

/// A choice beside `approve` and `deny`: something was done outside, and is looked at again.
pub(super) const RETRY: &str = "retry";
/// A snapshot of OpenBao was restored, and is looked at.
pub(super) const RESTORED: &str = "restored";
/// There is no backup.
pub(super) const LOST: &str = "lost";

/// What a question can be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whether this may be done. Only what is set to a recorded value, or in the one direction that loses nothing, is routine.
    May { routine: bool },
    /// Something that only a person can do, and then another look.
    Act,
    /// Whether there is a snapshot with the original key.
    Snapshot,
}

macro_rules! topics {
    ($($(#[$meta:meta])* $topic:ident = $id:literal $kind:expr),+ $(,)?) => {
        /// What a person is asked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Topic { $($(#[$meta])* $topic),+ }

        impl Topic {
            /// The question's name.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$topic => $id),+ }
            }
            pub(super) const fn state(self) -> &'static str {
                match self { $(Self::$topic => concat!("asking-", $id)),+ }
            }
            const fn kind(self) -> Kind {
                match self { $(Self::$topic => $kind),+ }
            }
        }
    };
}

topics! {
    /// Nothing recorded says whether the key is the original.
    UnrecordedKey = "unrecorded-key" Kind::May { routine: false },
    /// OpenBao must be reached, set up and unsealed again.
    OpenbaoBack = "openbao-back" Kind::Act,
    /// A node must reach OpenBao again.
    WayMended = "way-mended" Kind::Act,
    /// The key's profile can only be mended by a snapshot, or with a planned new key.
    ProfileRestored = "profile-restored" Kind::Act,
    /// The key's profile is mended where that loses nothing.
    MendProfile = "mend-profile" Kind::May { routine: true },
    /// Fresh login material lies ready.
    InstallAuth = "install-auth" Kind::May { routine: true },
    /// The login, its role, its issuer or a clock must be mended.
    AuthMended = "auth-mended" Kind::Act,
    /// The mark of a soft deletion is taken off.
    Undelete = "undelete" Kind::May { routine: false },
    /// The key must be readable again: policy, mount, namespace.
    KeyReachable = "key-reachable" Kind::Act,
    /// A raft snapshot with the original key must be restored.
    SnapshotRestored = "snapshot-restored" Kind::Snapshot,
    /// The key's automatic rotation is stopped.
    StopRotation = "stop-rotation" Kind::May { routine: true },
    /// The recorded provider configuration is put back.
    RestoreConfig = "restore-config" Kind::May { routine: true },
    /// The provider's configuration must be mended.
    ConfigMended = "config-mended" Kind::Act,
    /// A registry pair must be brought.
    PairBrought = "pair-brought" Kind::Act,
    /// Owner, modes or links of the registry must be mended.
    RegistryMended = "registry-mended" Kind::Act,
    /// The disk must take what the provider saves.
    DiskFreed = "disk-freed" Kind::Act,
    /// An older provider must be configured again for what it encrypted.
    ProviderBack = "provider-back" Kind::Act,
    /// The lowest decrypting version is lowered to the recorded one.
    LowerDecryption = "lower-decryption" Kind::May { routine: true },
    /// Which versions are still needed must be recorded.
    MinimumRecorded = "minimum-recorded" Kind::Act,
    /// The image must be brought, or the manifest pinned.
    ImageBrought = "image-brought" Kind::Act,
    /// The recorded EncryptionConfiguration is put back.
    PutBack = "put-back" Kind::May { routine: false },
    /// A file for an EncryptionConfiguration must be brought.
    FileBrought = "file-brought" Kind::Act,
    /// Identity is taken away, and old backups in plain text are no longer needed.
    OldBackups = "old-backups" Kind::May { routine: false },
    /// An API server is restarted although no other is ready.
    SoleApiserver = "sole-apiserver" Kind::May { routine: false },
    /// Objects must be restored from a backup of etcd.
    ObjectsRestored = "objects-restored" Kind::Act,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub(super) topic: Topic,
    pub(super) text: String,
}

impl Ask {
    /// The question about this, in full.
    pub(crate) fn new(topic: Topic, text: impl Into<String>) -> Self {
        Self { topic, text: text.into() }
    }

    pub(super) fn question(&self, case: &Case) -> Question {
        let deny = Choice::new(Choice::DENY, "leave everything as it is now");
        let (choices, routine) = match self.topic.kind() {
            Kind::May { routine } => {
                (vec![Choice::new(Choice::APPROVE, "it may: go on"), deny], routine.then(|| Choice::APPROVE.into()))
            }
            Kind::Act => (vec![Choice::new(RETRY, "it is done: look again"), deny], None),
            Kind::Snapshot => (
                vec![
                    Choice::new(RESTORED, "a snapshot with the original key was restored: look again"),
                    Choice::new(LOST, "there is no backup that has the original key"),
                    deny,
                ],
                None,
            ),
        };
        Question {
            id: self.topic.id().into(),
            text: self.text.clone(),
            choices,
            routine,
            within_ms: case.params.answer_within_ms,
            otherwise:
                "the run gives up and leaves everything as it is now; what it stopped for a moment it starts again"
                    .into(),
        }
    }
}

/// The end where nothing helps: what is lost, and what can still be done by hand.
pub(super) const LOST_FOR_GOOD: &str = "the original key is gone and no backup has it: every object that was encrypted under it, in etcd \
    and in every backup of etcd, cannot be decrypted by anything any more. API servers that run still serve what they have in memory, \
    until they are restarted: do not restart them; export through them what must survive (kubectl get -o yaml) now. Then plan a new \
    lineage by hand: another key name, another keyLineageId, an EncryptionConfiguration with it, and every lost object made anew. Do not \
    create a key under the old name: it would be taken for the one that is lost, and decrypts nothing";
