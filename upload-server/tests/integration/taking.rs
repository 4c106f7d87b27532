//! SIGKILL while an application's handler takes finished uploads: with the embedded store at each system call, with
//! Redis and Postgres at random points.
//!
//! Killed before a file was taken, the application is lent it again, under the same take id and as a later attempt; killed
//! after that, never. Whatever was done twice by that leaves one file, whole.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::support::{
    application::{self, Application, FAR_MOVED, MOVED, NOTED, Note, SLOT, WANDERED},
    client::Client,
    pattern::{self, Dice},
    postgres_server::PostgresServer,
    redis_server::RedisServer,
    server::is_long_run,
    strace::{attach_to, detach},
};

const NAMES: [&str; 4] = [NOTED, MOVED, FAR_MOVED, WANDERED];
/// A kind of call that needs more kills than this never ends.
const KILLS_MAX: u32 = 300;
/// What the application writes, makes durable, names, opens and removes with; sockets are written by the first of
/// them as well.
const CALLS: [&str; 4] = [
    "write,writev,pwrite64,pwritev,sendto,sendmsg",
    "fsync,fdatasync",
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,ftruncate,copy_file_range,sendfile",
    "open,openat,mkdir,mkdirat",
];
/// How many kills at random points, in a CI run and in a long one.
const POINTS: usize = 10;
const POINTS_LONG: usize = 25;

/// The process that is killed.
#[tokio::test]
#[ignore = "run and killed by the tests below"]
async fn application() {
    application::serve().await;
}

/// CTRL-6: at each system call, with the embedded store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_6_killed_at_every_call_a_handler_takes_each_file_once() {
    let mut application = block_in_place(|| Application::start("embedded"));
    for calls in CALLS {
        let mut kills = 0;
        loop {
            assert!(kills < KILLS_MAX, "{calls} never ends");
            let trial = Trial::upload(&application).await;
            let client = trial.connect().await;
            let inject = format!("inject={calls}:signal=KILL:when={}", kills + 1);
            let (pid, dir) = (application.pid(), application.dir().to_owned());
            let mut strace = block_in_place(|| attach_to(pid, &dir, &["-e", &inject]));
            let heard = trial.save(client).await;
            block_in_place(|| detach(&mut strace));
            if !trial.check(&mut application, heard).await {
                break;
            }
            kills += 1;
        }
        println!("embedded: {kills} kills at {calls}");
        assert!(kills > 0, "nothing of it is called");
    }
}

/// CTRL-6: at random points, with Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_6_killed_at_random_a_handler_takes_each_file_once_with_redis() {
    let redis = RedisServer::start();
    kill_at_random(&format!("redis://127.0.0.1:{}/0", redis.port)).await;
}

/// CTRL-6: at random points, with Postgres.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_6_killed_at_random_a_handler_takes_each_file_once_with_postgres() {
    let postgres = PostgresServer::start();
    let url = format!("postgres://uploads@127.0.0.1:{}/postgres", postgres.port);
    kill_at_random(&url).await;
}

async fn kill_at_random(store: &str) {
    let mut dice = Dice::new("taking");
    let mut application = block_in_place(|| Application::start(store));
    // How long it took the last time when nothing happened.
    let mut whole = Duration::from_secs(60);
    let points = match is_long_run() {
        true => POINTS_LONG,
        false => POINTS,
    };
    let (mut killed, mut rounds) = (0, 0);
    while killed < points {
        rounds += 1;
        assert!(rounds < 10 * points, "it is always done before");
        let trial = Trial::upload(&application).await;
        let after = whole.mul_f64(f64::from(dice.below(1000) as u32) / 1000.0);
        let saving = trial.save(trial.connect().await);
        tokio::pin!(saving);
        let begun = Instant::now();
        let heard = tokio::select! {
            heard = &mut saving => {
                whole = begun.elapsed();
                heard
            }
            () = tokio::time::sleep(after) => {
                block_in_place(|| application.kill());
                saving.await
            }
        };
        killed += usize::from(!application.is_running());
        trial.check(&mut application, heard).await;
    }
    println!("{store}: {killed} kills of {rounds}");
}

/// Four files that wait, and the visitor who has them saved.
struct Trial {
    url: String,
    cookie: String,
    uploads: Vec<Uuid>,
}

impl Trial {
    async fn upload(application: &Application) -> Self {
        let url = application.ws();
        let mut client = Client::connect(&url).await;
        let mut uploads = Vec::new();
        for (seed, name) in (1..).zip(NAMES) {
            let (upload, file) = (Uuid::new_v4(), file(seed));
            let answer = client.register(upload, SLOT, name, file.len() as u64).await;
            assert_eq!(answer["type"], "upload_registered", "{answer}");
            client.send_file(upload, &file, 65_536).await;
            assert_eq!(client.ending(upload).await["status"], "complete");
            uploads.push(upload);
        }
        let cookie = client.cookie.clone();
        client.close(1000).await;
        Self {
            url,
            cookie,
            uploads,
        }
    }

    async fn connect(&self) -> Client {
        let client = Client::connect_as(&self.url, &self.cookie, true).await;
        client.expect("it serves")
    }

    /// Sends the page's form; returns the answer unless the application died before.
    async fn save(&self, mut client: Client) -> Option<Value> {
        let uploads: Vec<String> = self.uploads.iter().map(Uuid::to_string).collect();
        client
            .try_send(json!({ "type": "event", "event": "save", "id": 1, "uploads": uploads }))
            .await?;
        loop {
            let message = client.try_next().await.ok()?;
            if message["type"] == "event_result" {
                return Some(message);
            }
        }
    }

    /// Sends the form again, and returns the answer and what the application had noted before; whether it had to be
    /// restarted for that.
    ///
    /// Where it seems to run and does not answer, the kill was still on its way.
    async fn save_again(&self, application: &mut Application) -> (Value, Vec<Note>, bool) {
        let mut restarted = false;
        loop {
            if !application.is_running() {
                assert!(!restarted, "nothing kills it now");
                restarted = true;
                block_in_place(|| application.restart());
            }
            let before = application.notes();
            let client = Client::connect_as(&self.url, &self.cookie, true).await;
            if let Ok(client) = client
                && let Some(answer) = self.save(client).await
            {
                return (answer, before, restarted);
            }
            block_in_place(|| application.wait_until_killed());
        }
    }

    /// Sends the form again, looks at what the application did in all, and returns whether it had been killed.
    async fn check(&self, application: &mut Application, heard: Option<Value>) -> bool {
        let (second, before, was_killed) = self.save_again(application).await;
        assert_eq!(
            second["ok"], true,
            "{second} after {heard:?} and {before:?}"
        );
        let told: Vec<&str> = refs(&second["taken"]);
        let notes = application.notes();
        for (name, upload) in NAMES.into_iter().zip(&self.uploads) {
            let of = |note: &&Note| note.name == name;
            let (old, all): (Vec<_>, Vec<_>) = (
                before.iter().filter(of).collect(),
                notes.iter().filter(of).collect(),
            );
            let context = format!("{name}: {all:?}, of them {} before; {second}", old.len());
            let is_told = told.contains(&&*upload.to_string());
            let was_taken = old.iter().any(|note| note.is_taken);
            assert!(
                is_told || !was_taken,
                "it was taken and is lent again: {context}"
            );
            assert!(!is_told || !old.is_empty(), "none had it: {context}");
            assert_eq!(is_told, all.len() == old.len(), "{context}");
            assert!(
                all.iter().all(|note| note.take_id == all[0].take_id),
                "{context}"
            );
            let lent: Vec<_> = all.iter().filter(|note| !note.is_taken).collect();
            let rises = lent.windows(2).all(|two| two[0].attempt < two[1].attempt);
            assert!(rises, "{context}");
            let taken = all.iter().position(|note| note.is_taken);
            assert!(taken.is_none_or(|at| at + 1 == all.len()), "{context}");
        }
        if let Some(heard) = heard.filter(|heard| heard["ok"] == true) {
            assert_eq!(
                told.len(),
                NAMES.len(),
                "all were taken by {heard}: {second}"
            );
        }
        let third = self.save(self.connect().await).await;
        let third = third.expect("nothing kills it now");
        assert_eq!(refs(&third["taken"]).len(), NAMES.len(), "{third}");
        assert_eq!(
            application.notes().len(),
            notes.len(),
            "nothing is lent again"
        );
        let expected = (1..).map(file);
        for (files, expected) in application.files().iter().zip(expected) {
            assert!(
                is_exactly(files, &expected),
                "one file, byte by byte: {files:?}"
            );
        }
        application.clear();
        was_killed
    }
}

fn refs(list: &Value) -> Vec<&str> {
    let refs = list.as_array().into_iter().flatten();
    refs.map(|it| it.as_str().expect("a ref")).collect()
}

fn is_exactly(files: &[PathBuf], expected: &[u8]) -> bool {
    matches!(files, [file] if fs::read(file).is_ok_and(|bytes| bytes == expected))
}

fn file(seed: u64) -> Vec<u8> {
    pattern::file(seed, 5000 * usize::try_from(seed).expect("small"))
}
