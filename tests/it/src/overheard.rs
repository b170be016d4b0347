//! A wire to Postgres that listens: which statements a client sends, by their texts, and how often it has a turn.
//!
//! A small TCP proxy on loopback that reads the client's half of Postgres's protocol as far as it has to: the texts of
//! Parse and Query messages. Values travel in other messages, so a text that contains one was put together from it. A
//! turn is what Postgres answers as one: a Query, or everything up to a Sync.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use harness::postgres::Database;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a client sends before it has said who it is, if it would like encryption.
const WISHES: [u32; 2] = [80_877_103, 80_877_104];

/// Everything that was heard.
#[derive(Default)]
struct Heard {
    texts: BTreeSet<String>,
    turns: Vec<String>,
    /// The turn that has begun ends by carrying out a prepared statement.
    executes: bool,
}

/// A turn in which a prepared statement is carried out.
pub const EXECUTES: &str = "a prepared statement";
/// A turn in which nothing is: is somebody there?
pub const ASKS: &str = "nothing";

/// A listening wire of the test's own.
pub struct Overheard {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Overheard {
    /// To this database, and the URL of a login that goes by it.
    pub async fn at(database: &Database, login: &str) -> (Self, String) {
        let url = database.url_as(login);
        let (before, after) = url.split_once('@').unwrap();
        let (server, name) = after.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::default());
        let (server, listening) = (server.to_owned(), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, to_server) = upstream.into_split();
                tokio::spawn(listen(from_client, to_server, Arc::clone(&listening)));
                tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            }
        });
        let url = format!("{before}@{address}/{name}");
        (Self { address, heard, task }, url)
    }

    /// Every text so far.
    pub fn texts(&self) -> BTreeSet<String> {
        self.heard.lock().unwrap().texts.clone()
    }

    /// The turns since this was last asked: the text of a Query, or what else there was.
    pub fn turns(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap().turns)
    }
}

impl Drop for Overheard {
    fn drop(&mut self) {
        self.task.abort();
        println!("{} heard {} texts", self.address, self.texts().len());
    }
}

impl Heard {
    fn hear(&mut self, kind: u8, body: &[u8]) {
        let text = |at: usize| {
            let text = body.split(|byte| *byte == 0).nth(at).unwrap();
            String::from_utf8_lossy(text).into_owned()
        };
        match kind {
            b'Q' => {
                self.texts.insert(text(0));
                self.turns.push(text(0));
            }
            b'P' => drop(self.texts.insert(text(1))),
            b'E' => self.executes = true,
            b'S' => {
                let executes = std::mem::take(&mut self.executes);
                self.turns.push(if executes { EXECUTES } else { ASKS }.to_owned());
            }
            _ => (),
        }
    }
}

async fn listen(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, heard: Arc<Mutex<Heard>>) {
    let (mut buffer, mut waiting, mut known) = (vec![0; 65_536], Vec::new(), false);
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        waiting.extend_from_slice(&buffer[..length]);
        // Heard before it is passed on: whoever has an answer finds the question here.
        while let Some((kind, body)) = message(&mut waiting, &mut known) {
            heard.lock().unwrap().hear(kind, &body);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Takes the next whole message: the first ones have no kind, until one says who is there.
fn message(waiting: &mut Vec<u8>, known: &mut bool) -> Option<(u8, Vec<u8>)> {
    let number = |at: usize| {
        let bytes = waiting.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().unwrap()))
    };
    let begin = usize::from(*known);
    let (length, kind) = (number(begin)? as usize, waiting[0]);
    if waiting.len() < begin + length {
        return None;
    }
    if !*known {
        *known = !WISHES.contains(&number(4)?);
    }
    let whole: Vec<u8> = waiting.drain(..begin + length).collect();
    Some((if begin == 1 { kind } else { 0 }, whole[begin + 4..].to_vec()))
}
