//! A container stopped, started and proven to be down, against a daemon that keeps a list of what it was told to change.

use serde_json::json;

use super::*;
use crate::docker::fake::{Fake, Site};

fn at_data(volume: &str) -> Value {
    json!([{ "Type": "volume", "Name": volume, "Source": "/v", "Destination": "/data", "RW": true }])
}

fn with(name: &str, running: bool) -> Fake {
    let mut site = Site::default();
    site.add(name, running, &at_data("edge-data"));
    Fake::new(site)
}

fn on(fake: &Fake) -> Docker {
    let token_file = fake.socket().with_file_name("token");
    let config = DockerConfig { container: "edge-connector".into(), socket: fake.socket(), token_file };
    Docker::new(config, Some("/data".into()), Duration::from_secs(1))
}

#[tokio::test]
async fn a_life_ends_and_another_begins() {
    let fake = with("edge-connector", true);
    let docker = on(&fake);
    let first = docker.running().await.unwrap().unwrap();
    assert_eq!(docker.start().await.unwrap(), first, "what runs is not started again");
    let second = docker.restart(&first).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(docker.restart(&first).await.unwrap(), second, "that life has ended before");
    docker.stop().await.unwrap();
    assert_eq!((docker.running().await.unwrap(), docker.traces().await.unwrap()), (None, None));
    docker.stop().await.unwrap();
    assert_eq!(fake.site().changes.iter().filter(|change| change.contains("/stop")).count(), 2);
}

#[tokio::test]
async fn a_container_that_there_is_not_is_refused_with_the_nearest_name() {
    let said = async |fake: &Fake| on(fake).running().await.unwrap_err().text().to_owned();
    assert!(said(&with("edge-conector", true)).await.contains("did you mean edge-conector?"));
    assert!(said(&with("quite-another", true)).await.contains("docker ps --all"));
    // A run that was cut off between its renames left nothing under the name; that is no reason to say that there is none.
    let aside = with("edge-connector-recover-run_1", false);
    assert_eq!((on(&aside).running().await, on(&aside).traces().await), (Ok(None), Ok(None)));
    on(&aside).stop().await.unwrap();
    assert!(on(&aside).start().await.is_err());
    aside.site().containers[0]["State"]["Running"] = true.into();
    assert!(on(&aside).traces().await.unwrap().unwrap().contains("started again"));
}

#[tokio::test]
async fn whoever_runs_with_its_storage_is_a_trace_of_it() {
    let fake = with("edge-connector", false);
    fake.site().add("backup", true, &at_data("edge-data"));
    let trace = on(&fake).traces().await.unwrap().unwrap();
    assert!(trace.contains("the container backup runs with its volume edge-data"), "{trace}");
    assert!(on(&fake).stop().await.is_err() && on(&fake).start().await.is_err());
    fake.site().containers[1]["Mounts"][0]["Name"] = "another".into();
    on(&fake).start().await.unwrap();
}

#[tokio::test]
async fn what_a_stop_would_delete_is_not_stopped() {
    let fake = with("edge-connector", true);
    fake.site().containers[0]["HostConfig"]["AutoRemove"] = true.into();
    assert!(on(&fake).stop().await.unwrap_err().text().contains("--rm"));
    assert!(fake.site().changes.is_empty());
}

#[tokio::test]
async fn a_token_that_the_container_would_not_see_is_not_risked() {
    let fake = with("edge-connector", false);
    let docker = on(&fake);
    std::fs::write(docker.token_file(), "t").unwrap();
    let refused = docker.start().await.unwrap_err();
    assert!(matches!(&refused, Trouble::Refused(reason) if reason.text.contains("never see a token")), "{refused:?}");
    assert!(fake.site().changes.is_empty());
    let folder = docker.token_file().parent().unwrap().to_str().unwrap().to_owned();
    let bind = json!({ "Type": "bind", "Source": folder, "Destination": "/handover", "RW": true });
    fake.site().containers[0]["Mounts"] = json!([bind]);
    docker.start().await.unwrap();
}

#[tokio::test]
async fn a_start_without_an_answer_is_not_called_refused() {
    let fake = with("edge-connector", false);
    fake.site().cut_after = Some(1);
    assert!(matches!(on(&fake).start().await.unwrap_err(), Trouble::Unknown(_)));
}

/// It was taken for doubt, and what looked again for a refusal to start a second one: a loop was then called a start that failed.
#[tokio::test]
async fn what_is_started_and_ends_at_once_was_started() {
    let fake = with("edge-connector", false);
    fake.site().ends_at_once = true;
    let docker = on(&fake);
    let first = docker.start().await.unwrap();
    assert_eq!(docker.running().await.unwrap(), None);
    // Its daemon is about to start it again: that is no reason to say that it cannot be started, and it is not started beside itself.
    fake.site().containers[0]["State"]["Running"] = true.into();
    fake.site().containers[0]["State"]["Restarting"] = true.into();
    assert_eq!(docker.start().await.unwrap(), first);
    fake.site().ends_at_once = false;
    assert_ne!(docker.restart(&first).await.unwrap(), first, "the life that is between two lives is ended first");
    let told = |change: &&String| change.contains("/stop");
    assert_eq!(fake.site().changes.iter().filter(told).count(), 1);
}

#[test]
fn a_log_is_read_with_and_without_frames() {
    let frame = |kind: u8, text: &str| [&[kind, 0, 0, 0, 0, 0, 0, text.len() as u8], text.as_bytes()].concat();
    let framed = [frame(1, "one\n"), frame(2, "two\n")].concat();
    assert_eq!(unframed(&framed), "one\ntwo\n");
    assert_eq!(unframed(&framed[..14]), "one\n\u{2}\0".to_owned(), "what is cut off is shown as it is");
    assert_eq!(unframed(b"plain text of a terminal\n"), "plain text of a terminal\n");
    assert_eq!(unframed(&vec![b'x'; 200_000]).len(), 64 * 1_024);
}
