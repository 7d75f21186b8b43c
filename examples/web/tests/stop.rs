//! The whole example: started, asked, and stopped by SIGTERM.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Ends the process also where the test fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn welcome(address: &str, name: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let head =
        format!("POST /welcome HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", name.len());
    stream.write_all(format!("{head}{name}").as_bytes()).expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer comes");
    answer
}

#[test]
fn sigterm_stops_the_server_and_the_consumer_once_all_that_was_accepted_has_run() {
    let folder = std::env::temp_dir().join(format!("huey-web-{}", std::process::id()));
    let child =
        Command::new(env!("CARGO_BIN_EXE_web")).arg(&folder).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut server = Server(child);
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.next().unwrap().replace("listening on ", "");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let address = &address;
            scope.spawn(move || {
                for number in 0..25 {
                    let answer = welcome(address, &format!("guest {thread}/{number}"));
                    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
                }
            });
        }
    });
    let stopped = Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(lines.next().unwrap(), "sent 100, left 0");
    assert!(server.0.wait().unwrap().success());
    std::fs::remove_dir_all(folder).unwrap();
}
