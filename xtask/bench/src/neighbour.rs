//! A second owner who shares the server with an attack: registers, resumes, presigns, and receives its hook
//! and webhook calls, again and again, and measures how long each took.
//!
//! It runs in a separate process: one line on its input begins a measurement, the next one ends it and has it
//! printed as a line of JSON.
//! A request that fails is tried again until the guard ends, as a client would.

#[path = "neighbour/hook.rs"]
mod hook;
#[path = "neighbour/http.rs"]
mod http;

use std::{
    cell::Cell,
    collections::BTreeMap,
    io::{Write, stdin, stdout},
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
    time::{Instant, sleep, timeout},
};
use upload_bench::{connection::Connection, frames::Template};

use self::{hook::Hook, http::post};

/// Bytes of a file that is sent in one chunk.
const SMALL_BYTES: u64 = 64 * 1024;
/// Bytes of a file that is resumed half way.
const RESUMED_BYTES: u64 = 256 * 1024;
/// Pause before a request that failed is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(200);
/// What a round asks for, in its order.
const SERVICES: [&str; 5] = ["register", "hook", "resume", "presign", "webhook"];

/// Uses a server as an honest owner does.
#[derive(Parser)]
struct Args {
    /// Address of the server
    #[arg(long)]
    address: String,
    /// Address on which hooks are received
    #[arg(long)]
    hook: String,
    /// Milliseconds that the hook takes for the calls of others
    #[arg(long, default_value_t = 0)]
    hook_ms: u64,
    /// The address that a proxy would report of this owner
    #[arg(long, default_value = "198.51.100.7")]
    from: String,
    /// Secret of the webhook
    #[arg(long)]
    webhook_secret: String,
    /// Seconds within which every request has to succeed
    #[arg(long, default_value_t = 30.0)]
    guard: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let hook = Hook::listen(&args.hook, Duration::from_millis(args.hook_ms)).await?;
    let neighbour = Neighbour::new(args, hook);
    LocalSet::new().run_until(neighbour.live()).await
}

/// How one service answered.
#[derive(Default)]
struct Answers {
    times: u32,
    worst: f64,
    sum: f64,
    retries: u32,
    failure: Option<String>,
}

impl Answers {
    fn note(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.times += 1;
        self.sum += seconds;
        self.worst = self.worst.max(seconds);
    }

    fn json(&self) -> Value {
        let mean = self.sum / f64::from(self.times.max(1));
        json!({
            "times": self.times, "worst": self.worst, "mean": mean, "retries": self.retries,
            "failure": self.failure,
        })
    }
}

/// Returns the lines of the input, read by a thread that ends with them.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut lines = stdin().lines();
        while let Some(Ok(line)) = lines.next() {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(what: &impl std::fmt::Display) -> Result<()> {
    println!("{what}");
    Ok(stdout().flush()?)
}

struct Neighbour {
    args: Args,
    hook: Rc<Hook>,
    small: Rc<Template>,
    resumed: Rc<Template>,
    cookie: Option<String>,
    next_ref: Cell<u32>,
    answers: BTreeMap<&'static str, Answers>,
}

impl Neighbour {
    fn new(args: Args, hook: Rc<Hook>) -> Self {
        let chunk = usize::try_from(SMALL_BYTES).unwrap_or(usize::MAX);
        Self {
            args,
            hook,
            small: Rc::new(Template::new(chunk, SMALL_BYTES)),
            resumed: Rc::new(Template::new(chunk, RESUMED_BYTES)),
            cookie: None,
            // Calls for uploads of an earlier process may still arrive.
            next_ref: Cell::new(std::process::id() << 12),
            answers: BTreeMap::new(),
        }
    }

    /// Uses the server from one line on the input to the next, a whole round at least, and so on.
    async fn live(mut self) -> Result<()> {
        self.hook.serve();
        let first = self.open(&self.small).await?;
        self.cookie = first.cookie();
        drop(first);
        say(&"ready")?;
        let mut lines = lines();
        while lines.recv().await.is_some() {
            self.answers.clear();
            loop {
                self.round().await;
                let has_failed = self.answers.values().any(|own| own.failure.is_some());
                // A line, or the end of the input.
                let is_over = timeout(PAUSE, lines.recv()).await.is_ok();
                if is_over {
                    break;
                }
                if has_failed {
                    lines.recv().await;
                    break;
                }
            }
            let of = |name: &str| self.answers.get(name).map(Answers::json);
            let all: BTreeMap<_, _> = SERVICES.into_iter().map(|name| (name, of(name))).collect();
            say(&json!(all))?;
        }
        Ok(())
    }

    async fn round(&mut self) {
        let told = self.measure("register", async |own| own.register().await);
        if let Some((upload, told)) = told.await {
            self.measure_hook("hook", upload, told).await;
        }
        self.measure("resume", async |own| own.resume().await).await;
        let signed = self.measure("presign", async |own| own.presign().await);
        if let Some((upload, key)) = signed.await {
            let told = self.hook.expect(&upload);
            let sent = self.measure("webhook", async |own| own.webhook(&key).await);
            if sent.await.is_some() {
                self.measure_hook("webhook", upload, told).await;
            }
        }
    }

    /// Asks until it is served or the guard ends, and notes how long it took.
    async fn measure<T>(
        &mut self,
        name: &'static str,
        ask: impl AsyncFn(&Self) -> Result<T>,
    ) -> Option<T> {
        let guard = Duration::from_secs_f64(self.args.guard);
        let begun = Instant::now();
        let (mut retries, mut last) = (0, "no answer".to_owned());
        let done = timeout(guard, async {
            loop {
                match ask(self).await {
                    Ok(done) => return done,
                    Err(error) => last = format!("{error:#}"),
                }
                retries += 1;
                sleep(RETRY).await;
            }
        });
        let done = done.await.ok();
        let own = self.answers.entry(name).or_default();
        own.retries += retries;
        own.note(begun.elapsed());
        if done.is_none() {
            own.failure = Some(format!("after {retries} retries: {last}"));
        }
        done
    }

    /// Waits until the hook was called about an upload.
    async fn measure_hook(
        &mut self,
        name: &'static str,
        upload: String,
        told: oneshot::Receiver<()>,
    ) {
        let guard = Duration::from_secs_f64(self.args.guard);
        let begun = Instant::now();
        let heard = timeout(guard, told).await;
        let own = self.answers.entry(name).or_default();
        own.note(begun.elapsed());
        if !matches!(heard, Ok(Ok(()))) {
            own.failure = Some(format!("the hook was not called about {upload}"));
        }
    }

    async fn register(&self) -> Result<(String, oneshot::Receiver<()>)> {
        let mut connection = self.open(&self.small).await?;
        connection.register("file", self.fresh()).await?;
        let upload = connection.upload_ref();
        let told = self.hook.expect(&upload);
        connection.upload().await?;
        Ok((upload, told))
    }

    async fn resume(&self) -> Result<()> {
        let mut connection = self.open(&self.resumed).await?;
        connection.register("resumable", self.fresh()).await?;
        connection.send_to(RESUMED_BYTES / 2).await?;
        connection
            .until_received_past(RESUMED_BYTES / 2 - 1)
            .await?;
        let mut again = connection.resume(&self.args.address).await?;
        again.upload().await?;
        Ok(())
    }

    /// Has a URL signed; returns the upload's id and its key.
    async fn presign(&self) -> Result<(String, String)> {
        let body = json!({
            "upload_name": "direct", "client_name": "report.bin",
            "client_type": "application/octet-stream", "client_size": SMALL_BYTES,
        });
        let cookie = self.cookie.as_deref().context("no cookie yet")?;
        let headers = format!("Cookie: {cookie}\r\n{}", self.forwarded());
        let answer = self.post("/uploads/presign", &headers, &body).await?;
        let field = |name: &str| Some(answer.get(name)?.as_str()?.to_owned());
        let both = field("upload_id").zip(field("key"));
        both.with_context(|| format!("not signed: {answer}"))
    }

    /// Sends the event of a bucket that received the object.
    async fn webhook(&self, key: &str) -> Result<()> {
        let object = json!({"key": key, "size": SMALL_BYTES, "eTag": "0", "sequencer": "1"});
        let record = json!({
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "bucket"}, "object": object},
        });
        let body = json!({"Records": [record]});
        let signature = http::signature(&self.args.webhook_secret, body.to_string().as_bytes());
        let headers = format!("X-Upload-Signature: {signature}\r\n");
        let answer = self.post("/webhooks/s3", &headers, &body).await?;
        if answer["ok"] != true {
            bail!("not taken: {answer}");
        }
        Ok(())
    }

    async fn post(&self, path: &str, headers: &str, body: &Value) -> Result<Value> {
        let (status, answer) = post(&self.args.address, path, headers, body).await?;
        if status != 200 {
            bail!("{path}: {status} {answer}");
        }
        Ok(serde_json::from_str(&answer)?)
    }

    async fn open(&self, template: &Rc<Template>) -> Result<Connection> {
        let (cookie, template) = (self.cookie.clone(), Rc::clone(template));
        Connection::open_with(&self.args.address, cookie, template, self.forwarded()).await
    }

    fn forwarded(&self) -> String {
        format!("X-Forwarded-For: {}\r\n", self.args.from)
    }

    fn fresh(&self) -> u32 {
        self.next_ref.set(self.next_ref.get().wrapping_add(1));
        self.next_ref.get()
    }
}
