//! `POST /track` at a fixed rate over 64 connections, for the benchmark.
//!
//! Every event has an instant at which it is due, whatever became of those before it, and its latency counts from
//! there. So a service that stalls for a moment is charged for every event that fell due meanwhile, not only for the 64
//! that it kept waiting. One thread keeps the time and looks what is due every quarter of a millisecond, which counts as
//! late; another one sends and receives. A thread for each connection would take a fifth of two cores for itself, and the
//! timers of one alone would send what falls due within a millisecond or two in one burst.
//!
//! `open_loop PORT KEY RATE SECONDS` warms up for a second more and prints what it saw, latencies in milliseconds.

use std::error::Error;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A connection takes every 64th event.
const CONNECTIONS: u32 = 64;

/// Between two looks at what is due.
const TICK: Duration = Duration::from_micros(250);

/// What is due in the beginning is sent and not counted: it finds everything at rest.
const WARM_UP: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port, key, rate, seconds] = <[String; 4]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "usage: open_loop PORT KEY RATE SECONDS")?;
    let (port, rate, seconds): (u16, f64, f64) = (port.parse()?, rate.parse()?, seconds.parse()?);
    let connections = try_join_all((0..CONNECTIONS).map(|_| Connection::open(port, &key))).await?;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..CONNECTIONS).map(|_| unbounded_channel()).unzip();
    let length = WARM_UP + Duration::from_secs_f64(seconds);
    let plan = Plan { begin: Instant::now(), gap: Duration::from_secs_f64(1.0 / rate), length };
    thread::spawn(move || plan.announce(&senders));
    let all = connections.into_iter().zip(receivers).map(|(connection, due)| plan.follow(due, connection));
    let mut all_seen = Seen::default();
    for seen in try_join_all(all).await? {
        all_seen.latencies.extend(seen.latencies);
        all_seen.answers += seen.answers;
        all_seen.refused += seen.refused;
    }
    report(all_seen, plan.begin.elapsed());
    Ok(())
}

/// What became of events: how long after they were due they were answered, once it is warm; how many answers there were,
/// and how many of them no 200.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    answers: usize,
    refused: usize,
}

/// When events are due.
#[derive(Clone, Copy)]
struct Plan {
    begin: Instant,
    gap: Duration,
    length: Duration,
}

impl Plan {
    /// Gives each event to its connection when it is due.
    fn announce(self, connections: &[UnboundedSender<u32>]) {
        for (event, connection) in (0..).zip(connections.iter().cycle()) {
            let due = self.gap * event;
            if due >= self.length {
                break;
            }
            while self.begin.elapsed() < due {
                thread::sleep(TICK);
            }
            // A connection that broke has ended everything.
            let _ = connection.send(event);
        }
    }

    /// Sends the events of one connection, each when it is due or, if the last answer was late, at once after that.
    async fn follow(self, mut due: UnboundedReceiver<u32>, mut connection: Connection) -> io::Result<Seen> {
        let mut seen = Seen::default();
        while let Some(event) = due.recv().await {
            seen.refused += usize::from(!connection.track(event).await?);
            seen.answers += 1;
            let due = self.gap * event;
            if due >= WARM_UP {
                seen.latencies.push(self.begin.elapsed().saturating_sub(due));
            }
        }
        Ok(seen)
    }
}

/// A connection that stays open.
struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Connection {
    async fn open(port: u16, key: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /track HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
        );
        Ok(Self { stream: BufReader::new(stream), head })
    }

    /// Reports an event and reads the whole answer; gives whether it is a 200.
    async fn track(&mut self, event: u32) -> io::Result<bool> {
        let body = body(event);
        let request = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let status = self.line().await?;
        let mut length = 0;
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().map_err(io::Error::other)?,
                Some(_) => {}
                None => break,
            }
        }
        self.stream.read_exact(&mut vec![0; length]).await?;
        Ok(status.starts_with("HTTP/1.1 200 "))
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }
}

/// An event with all fields; its values are about as frequent as in event.lua.
fn body(event: u32) -> String {
    let random = scrambled(event as usize);
    let one_of = |shift: u32, list: &[&'static str]| list[(random >> shift) % list.len()];
    let number = |shift: u32, most: usize| (random >> shift) % most + 1;
    let business = number(0, 20);
    let model = MODELS[business % MODELS.len()];
    let (intent, response_type) = (one_of(5, &INTENTS), one_of(9, &TYPES));
    let (prompt, completion, cost) = (number(13, 900), number(23, 400), number(33, 999));
    let (requested, milliseconds) = (random & 1 == 0, number(43, 9000));
    format!(
        r#"{{"business_id":"business-{business}","conversation_id":"conv-{random:016x}","session_id":"session-{random:016x}","response_time_ms":{milliseconds},"success_rate":0.95,"tokens_used":{},"prompt_tokens":{prompt},"completion_tokens":{completion},"api_cost_usd":0.000{cost:03},"model_name":"{model}","intent_detected":"{intent}","response_type":"{response_type}","appointment_requested":{requested},"appointment_booked":false,"human_handoff_requested":false,"user_message_length":80,"ai_response_length":250}}"#,
        prompt + completion
    )
}

const MODELS: [&str; 3] = ["gemini-1.5-flash", "gemini-1.5-pro", "gpt-4o-mini"];
const INTENTS: [&str; 10] = [
    "appointment_booking",
    "appointment_booking",
    "appointment_booking",
    "appointment_booking",
    "business_hours",
    "business_hours",
    "pricing",
    "pricing",
    "greeting",
    "complaint",
];
const TYPES: [&str; 10] =
    ["text", "text", "text", "text", "text", "text", "text", "appointment", "appointment", "error"];

/// A number that looks random, another one for every event.
const fn scrambled(event: usize) -> usize {
    let mixed = (event + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

fn report(seen: Seen, took: Duration) {
    let Seen { mut latencies, answers, refused } = seen;
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!("requests {answers} refused {refused} seconds {}", took.as_secs_f64());
    println!("p50 {} p99 {} max {}", at(50), at(99), at(100));
}
