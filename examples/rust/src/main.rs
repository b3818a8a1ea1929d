//! An OCR worker: claims jobs, reads their files, offers the results. Rust, tokio-postgres.
//!
//!     cargo run -- [COMMAND [ARGUMENT…]]
//!
//! COMMAND reads a page as ../tesseract.sh does. The database is that of DATABASE_URL, or
//! of PGHOST, PGPORT, PGUSER and PGDATABASE. SIGTERM gives back what is not finished.

use std::collections::{HashMap, HashSet};
use std::error::Error as _;
use std::future::pending;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{future, stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::{watch, Notify};
use tokio::time::{sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Row};
use uuid::Uuid;

const BATCH: i32 = 4; // jobs that are read at the same time
const PAGE_LIMIT: Duration = Duration::from_secs(600);

fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_string())
}

fn number(name: &str, otherwise: &str) -> f64 {
    setting(name, otherwise).parse().expect(name)
}

struct Job {
    document: Uuid,
    token: Uuid,
    filename: String,
    path: Option<String>,
}

/// Why no result of a job stands.
enum Failure {
    Lost,
    Stopping,
    Reported {
        message: String,
        class: &'static str,
    },
}

fn document(message: impl ToString) -> Failure {
    Failure::Reported {
        message: message.to_string(),
        class: "document",
    }
}

struct Worker {
    config: Config,
    client: tokio::sync::Mutex<Option<Arc<Client>>>,
    command: Vec<String>,
    id: String,
    lease_seconds: f64,
    stopping: watch::Receiver<bool>,
    /// Rung by notifications.
    bell: Arc<Notify>,
    /// The jobs in hand: the token, and what says that the lease is lost.
    live: Mutex<HashMap<Uuid, (Uuid, watch::Sender<bool>)>>,
}

/// Whether the same call may succeed later: no connection, no room, a lock, a restart.
fn is_passing(error: &Error) -> bool {
    match error.code() {
        Some(state) => ["08", "40", "53", "55P03", "57"]
            .iter()
            .any(|class| state.code().starts_with(class)),
        None => error.is_closed() || error.source().map_or(false, |s| s.is::<std::io::Error>()),
    }
}

async fn set(mut flag: watch::Receiver<bool>) {
    while !*flag.borrow() {
        if flag.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

impl Worker {
    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// The connection, opened again when it was lost. It listens as well; behind a
    /// transaction pooler leave that out.
    async fn client(&self) -> Result<Arc<Client>, Error> {
        let mut kept = self.client.lock().await;
        if let Some(client) = kept.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let (client, mut connection) = self.config.connect(NoTls).await?;
        let bell = self.bell.clone();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(_) = message {
                    bell.notify_one();
                }
            }
            bell.notify_one(); // a lost connection is opened by the next claim
        });
        client.batch_execute("listen ocr_jobs").await?;
        let client = Arc::new(client);
        *kept = Some(client.clone());
        Ok(client)
    }

    /// Calls a function; again and again while the database is away.
    ///
    /// A connection that is lost may have been lost after the COMMIT. Repeating is safe:
    /// under the same lease token a result that stands already is answered with true, and
    /// every other call changes nothing a second time. What a repeated claim does not know
    /// of goes back to the queue when its lease expires.
    async fn call(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let mut attempt = 0;
        loop {
            let answer = match self.client().await {
                Ok(client) => client.query(sql, values).await,
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if is_passing(&error) && !self.is_stopping() => {
                    eprintln!("trying again: {error}");
                }
                answer => return answer,
            }
            attempt = (attempt + 1).min(6);
            sleep(Duration::from_millis(50 << attempt)).await;
        }
    }

    /// Runs the OCR command on the bytes: confidence and text.
    async fn recognise(&self, page: &[u8]) -> Result<(f64, String), Failure> {
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::Reported {
                message: error.to_string(),
                class: "infrastructure",
            })?;
        let stdin = child.stdin.take();
        let writing = async move {
            if let Some(mut stdin) = stdin {
                // It may end without reading everything.
                let _ = stdin.write_all(page).await;
            }
        };
        let both = future::join(child.wait_with_output(), writing);
        let (output, _) = timeout(PAGE_LIMIT, both).await.map_err(document)?;
        let output = output.map_err(document)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(document(format!("{}: {}", output.status, said.trim())));
        }
        let text = String::from_utf8(output.stdout).map_err(document)?;
        let (confidence, text) = text.split_once('\n').ok_or_else(|| document("no text"))?;
        let confidence = confidence.parse().map_err(document)?;
        Ok((
            confidence,
            text.strip_suffix('\n').unwrap_or(text).to_string(),
        ))
    }

    /// Reads one job's file and offers the result.
    async fn read(&self, job: &Job, lost: watch::Receiver<bool>) -> Result<(), Failure> {
        // The bytes that are hashed are those that are read, whatever becomes of the file.
        let path = job.path.as_ref().ok_or_else(|| document("no file_path"))?;
        let page = tokio::fs::read(path)
            .await
            .map_err(|error| document(format!("{path}: {error}")))?;
        let started = Instant::now();
        let (confidence, text) = tokio::select! {
            recognised = self.recognise(&page) => recognised?,
            _ = set(lost) => return Err(Failure::Lost),
            _ = set(self.stopping.clone()) => return Err(Failure::Stopping),
        };
        let words = text.split_whitespace().count() as i32;
        let milliseconds = started.elapsed().as_millis() as i32;
        let hash = format!("{:x}", Sha256::digest(&page));
        let engine = self.command[0].rsplit('/').next();
        let answer = self
            .call(
                "select update_ocr_safe($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &[
                    &job.document,
                    &job.filename,
                    &text,
                    &confidence,
                    &words,
                    &milliseconds,
                    &job.token,
                    &hash,
                    &engine,
                ],
            )
            .await
            .map_err(|error| match error.as_db_error() {
                Some(said) => document(said),
                None => document(error),
            })?;
        match answer[0].get(0) {
            true => Ok(()),
            false => Err(document("refused: ocr_incidents says why")),
        }
    }

    /// Takes one job from its file to whatever becomes of it.
    async fn work(&self, job: Job) -> Result<(), Error> {
        let (lose, lost) = watch::channel(false);
        self.live
            .lock()
            .unwrap()
            .insert(job.document, (job.token, lose));
        let answer = match self.read(&job, lost).await {
            Ok(()) => "written".to_string(),
            Err(Failure::Lost) => "the lease was lost".to_string(),
            Err(Failure::Stopping) => {
                let lease: [&(dyn ToSql + Sync); 2] = [&job.document, &job.token];
                self.call("select release_ocr_job($1, $2)", &lease).await?;
                "released".to_string()
            }
            // Where the lease is not ours any more this answers stale_lease and does
            // nothing.
            Err(Failure::Reported { message, class }) => {
                let message = message.replace('\0', "\\0");
                let rows = self
                    .call(
                        "select fail_ocr_job($1, $2, $3, $4)",
                        &[&job.document, &job.token, &message, &class],
                    )
                    .await?;
                format!("{}: {message}", rows[0].get::<_, &str>(0))
            }
        };
        self.live.lock().unwrap().remove(&job.document);
        println!("{}: {answer}", job.filename);
        Ok(())
    }

    /// Extends all leases; a document that is missing from the answer is not ours.
    async fn beat(&self) -> Result<(), Error> {
        let (documents, tokens): (Vec<Uuid>, Vec<Uuid>) = self
            .live
            .lock()
            .unwrap()
            .iter()
            .map(|(document, (token, _))| (*document, *token))
            .unzip();
        if documents.is_empty() {
            return Ok(());
        }
        let rows = self
            .call(
                "select document_id from extend_ocr_leases($1, $2, make_interval(secs => $3))",
                &[&documents, &tokens, &self.lease_seconds],
            )
            .await?;
        let ours: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        let live = self.live.lock().unwrap();
        for document in documents.iter().filter(|document| !ours.contains(document)) {
            if let Some((_, lose)) = live.get(document) {
                let _ = lose.send(true);
            }
        }
        Ok(())
    }

    async fn claim(&self) -> Result<Vec<Job>, Error> {
        let rows = self
            .call(
                "select document_id, lease_token, filename, file_path
                from claim_ocr_jobs($1, $2, make_interval(secs => $3))",
                &[&self.id, &BATCH, &self.lease_seconds],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| Job {
                document: row.get(0),
                token: row.get(1),
                filename: row.get(2),
                path: row.get(3),
            })
            .collect())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config: Config = match std::env::var("DATABASE_URL") {
        Ok(url) => url.parse()?,
        Err(_) => {
            let mut config = Config::new();
            config
                .host(&setting("PGHOST", "localhost"))
                .port(setting("PGPORT", "5432").parse()?)
                .user(&setting("PGUSER", "postgres"))
                .dbname(&setting("PGDATABASE", "postgres"));
            config
        }
    };
    let id = format!("rust-{}", std::process::id());
    config.application_name(&id); // so that an incident says who made the offer
    let mut command: Vec<String> = std::env::args().skip(1).collect();
    if command.is_empty() {
        command.push("examples/tesseract.sh".to_string());
    }

    let (stop, stopping) = watch::channel(false);
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! { _ = terminated.recv() => {}, _ = interrupted.recv() => {} }
        let _ = stop.send(true);
        pending::<()>().await;
    });
    let worker = Arc::new(Worker {
        config,
        client: tokio::sync::Mutex::new(None),
        command,
        id,
        lease_seconds: number("LEASE_SECONDS", "60"),
        stopping,
        bell: Arc::new(Notify::new()),
        live: Mutex::new(HashMap::new()),
    });
    let heart = worker.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs_f64(heart.lease_seconds / 3.0)).await;
            if let Err(error) = heart.beat().await {
                eprintln!("{error}");
            }
        }
    });

    let poll = Duration::from_secs_f64(number("POLL_SECONDS", "5"));
    while !worker.is_stopping() {
        let jobs = match worker.claim().await {
            Err(_) if worker.is_stopping() => break,
            jobs => jobs?,
        };
        if jobs.is_empty() {
            // Notifications can be lost, so that it looks now and then anyway.
            tokio::select! {
                _ = worker.bell.notified() => {}
                _ = sleep(poll) => {}
                _ = set(worker.stopping.clone()) => {}
            }
            continue;
        }
        for answer in future::join_all(jobs.into_iter().map(|job| worker.work(job))).await {
            answer?;
        }
    }
    Ok(())
}
