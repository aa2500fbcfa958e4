//! Secrets of Kubernetes under KMS v2 with OpenBao's Transit behind it: how its steps are carried out.

mod config;

pub use config::{
    ApiserverConfig, ClientIdentity, ClusterConfig, ContainerConfig, EtcdConfig, KmsConfig, KmsTiming, KmsWorkload,
    NodeConfig, ProviderConfig, ServiceConfig, StaticPodConfig, SupervisedConfig,
};
