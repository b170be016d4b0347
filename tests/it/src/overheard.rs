//! A wire to Postgres that listens: which statements a client sends, by their texts.
//!
//! A small TCP proxy on loopback that reads the client's half of Postgres's protocol as far as it has to: the texts of
//! Parse and Query messages. Values travel in other messages, so a text that contains one was put together from it.

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

type Texts = Arc<Mutex<BTreeSet<String>>>;

/// A listening wire of the test's own.
pub struct Overheard {
    address: SocketAddr,
    texts: Texts,
    task: JoinHandle<()>,
}

impl Overheard {
    /// To this database, and the URL of a login that goes by it.
    pub async fn at(database: &Database, login: &str) -> (Self, String) {
        let url = database.url_as(login);
        let (before, after) = url.split_once('@').unwrap();
        let (server, name) = after.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, texts) = (listener.local_addr().unwrap(), Texts::default());
        let (server, heard) = (server.to_owned(), Arc::clone(&texts));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                let (from_client, mut to_client) = client.into_split();
                let (mut from_server, to_server) = upstream.into_split();
                tokio::spawn(listen(from_client, to_server, Arc::clone(&heard)));
                tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            }
        });
        let url = format!("{before}@{address}/{name}");
        (Self { address, texts, task }, url)
    }

    /// Every text so far.
    pub fn texts(&self) -> BTreeSet<String> {
        self.texts.lock().unwrap().clone()
    }
}

impl Drop for Overheard {
    fn drop(&mut self) {
        self.task.abort();
        println!("{} heard {} texts", self.address, self.texts().len());
    }
}

async fn listen(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, texts: Texts) {
    let (mut buffer, mut waiting, mut known) = (vec![0; 65_536], Vec::new(), false);
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        waiting.extend_from_slice(&buffer[..length]);
        // Heard before it is passed on: whoever has an answer finds the question here.
        while let Some((kind, body)) = message(&mut waiting, &mut known) {
            let text = match kind {
                b'Q' => body.split(|byte| *byte == 0).next(),
                b'P' => body.split(|byte| *byte == 0).nth(1),
                _ => None,
            };
            if let Some(text) = text {
                texts
                    .lock()
                    .unwrap()
                    .insert(String::from_utf8_lossy(text).into_owned());
            }
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
