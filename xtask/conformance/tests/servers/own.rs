//! Our own server passes every check, and nothing is left out.

use upload_conformance::{Ietf, Report, Socket, Tus};

use crate::{Server, ietf, socket, tus};

fn assert_whole(report: &Report) {
    let all_passed = report.rows().iter().all(|row| row.outcome.is_ok());
    assert!(all_passed, "\n{}", report.table());
    assert!(report.meets_every_must());
    let score = report.score();
    assert!(score.ends_with(" 0 not announced"), "{score}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_server_passes_every_check_of_tus() {
    let server = Server::start(|app| app).await;
    assert_whole(&tus(server.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_server_passes_every_check_of_the_draft() {
    let server = Server::start(|app| app).await;
    assert_whole(&ietf(server.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_server_passes_every_check_of_the_socket() {
    let server = Server::start(|app| app).await;
    assert_whole(&socket(server.address).await);
}

#[test]
fn every_check_names_rules_of_the_protocol() {
    let protocol = include_str!("../../../../docs/PROTOCOL.md");
    let has = |rule: &str| {
        let heading = match rule.strip_prefix("section ") {
            Some(number) => format!("\n## {number}. "),
            None => format!("\n## {rule}\n"),
        };
        protocol.contains(&format!("\n- **{rule}** ")) || protocol.contains(&heading)
    };
    let tus = Tus::checks().map(|check| check.rules);
    let ietf = Ietf::checks().map(|check| check.rules);
    let socket = Socket::checks().map(|check| check.rules);
    for rule in tus.chain(ietf).chain(socket).flatten() {
        assert!(has(rule), "PROTOCOL.md has no rule {rule}");
    }
}
