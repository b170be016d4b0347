//! A wire between a binary and a server, in the test's hands: it can be cut, stuffed, or cut at a COMMIT.
//!
//! A small TCP proxy on loopback. It understands nothing but the word COMMIT as Postgres's protocol has it, which is
//! enough to cut at the one moment after which nobody can know whether a transaction counted. Dropping it cuts it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deployment::Deployment;

/// What the wire does with what comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Open,
    /// Connections are cut, and new ones too.
    Cut,
    /// Nothing comes through, and nobody is told.
    Stuffed,
    /// Cut at this COMMIT, counted from now: before the server hears of it, or after.
    AtCommit(usize, bool),
}

/// A TCP proxy of the test's own.
pub struct Wire {
    /// Where it is taken hold of.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    commits: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Wire {
    /// To this server.
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, commits) = (watch::Sender::new(Mode::Open), Arc::new(Mutex::new(0)));
        let (watched, counted) = (mode.clone(), Arc::clone(&commits));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *watched.borrow() == Mode::Cut {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(&server).await else {
                    continue;
                };
                tokio::spawn(carry(client, upstream, watched.clone(), Arc::clone(&counted)));
            }
        });
        Self {
            address,
            mode,
            commits,
            task,
        }
    }

    /// A wire to this deployment's Postgres, and the URL of a login that goes by it.
    pub async fn to_the_database(deployment: &Deployment, login: &str) -> (Self, String) {
        let url = deployment.database.url_as(login);
        let (before, after) = url.split_once('@').unwrap();
        let (server, name) = after.split_once('/').unwrap();
        let wire = Self::to(server.to_owned()).await;
        let url = format!("{before}@{}/{name}", wire.address);
        (wire, url)
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        *self.commits.lock().unwrap() = 0;
        self.mode.send_replace(mode);
    }

    /// COMMITs since the mode was set.
    pub fn commits(&self) -> usize {
        *self.commits.lock().unwrap()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.set(Mode::Cut);
        self.task.abort();
    }
}

/// One connection, until one side ends it or the wire is cut.
async fn carry(client: TcpStream, server: TcpStream, mode: watch::Sender<Mode>, commits: Arc<Mutex<usize>>) {
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = there(from_client, to_server, mode.clone(), Arc::clone(&commits));
    let back = back(from_server, to_client, mode.clone(), Arc::clone(&commits));
    let mut watched = mode.subscribe();
    let cut = watched.wait_for(|mode| *mode == Mode::Cut);
    tokio::select! {
        () = there => (),
        () = back => (),
        _ = cut => (),
    }
}

async fn there(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: watch::Sender<Mode>,
    commits: Arc<Mutex<usize>>,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let piece = &buffer[..length];
        unstuffed(&mode).await;
        let mut last = false;
        if piece.windows(7).any(|window| window == b"COMMIT\0") {
            let count = {
                let mut commits = commits.lock().unwrap();
                *commits += 1;
                *commits
            };
            match *mode.borrow() {
                Mode::AtCommit(at, false) if at == count => return,
                Mode::AtCommit(at, true) if at == count => last = true,
                _ => (),
            }
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
        if last {
            // The server carries it out; whoever asked never hears of it.
            drop(from);
            tokio::time::sleep(Duration::from_millis(50)).await;
            return;
        }
    }
}

async fn back(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: watch::Sender<Mode>,
    commits: Arc<Mutex<usize>>,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        unstuffed(&mode).await;
        // The answer to a COMMIT that must not be heard of.
        let unheard = matches!(*mode.borrow(), Mode::AtCommit(at, true) if at == *commits.lock().unwrap());
        if unheard && buffer[..length].windows(7).any(|window| window == b"COMMIT\0") {
            return std::future::pending().await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn unstuffed(mode: &watch::Sender<Mode>) {
    let mut watched = mode.subscribe();
    drop(watched.wait_for(|mode| *mode != Mode::Stuffed).await);
}
