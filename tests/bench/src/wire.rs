//! A wire of some length between a program and Postgres: on one machine a statement comes back in a tenth of the time
//! that it takes between two, and a design that asks a hundred thousand times looks better than it is.
//!
//! A small TCP proxy that hands on everything as it came, late. On threads of its own, because a runtime's timers count
//! whole milliseconds. It reads nothing of what it carries, and loses nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A server, so far away.
pub struct Wire {
    address: SocketAddr,
}

impl Wire {
    /// To the server of this URL, so long there and back.
    pub fn to(url: &str, there_and_back: Duration) -> Self {
        let server = authority(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // It ends with the process: nobody is in its way.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let (back, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                carry(client, server, there_and_back / 2);
                carry(answers, back, there_and_back / 2);
            }
        });
        Self { address }
    }

    /// The same database, by way of this wire.
    pub fn instead(&self, url: &str) -> String {
        url.replacen(authority(url), &self.address.to_string(), 1)
    }
}

/// A sleeper is woken late, by some seventy microseconds here, which each of a hundred thousand round trips would be
/// longer by: the last of the way is waited for awake.
fn wait_until(due: Instant) {
    const LATE: Duration = Duration::from_micros(100);
    let left = due.saturating_duration_since(Instant::now());
    thread::sleep(left.saturating_sub(LATE));
    while Instant::now() < due {
        thread::yield_now();
    }
}

/// Host and port.
fn authority(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    let (rest, _) = rest.split_once('/').unwrap();
    rest.rsplit_once('@').map_or(rest, |(_, authority)| authority)
}

/// Hands on what comes in, so much later; what is under way meanwhile comes right behind it.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let piece = buffer[..length].to_vec();
            if sender.send((Instant::now() + delay, piece)).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in receiver {
            wait_until(due);
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // Who has been left is told.
        drop(to.shutdown(Shutdown::Write));
    });
}
