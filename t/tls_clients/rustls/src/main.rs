//! A device over rustls; what it does stands in device.c.

use rustls::client::{ServerCertVerified, ServerCertVerifier};
use rustls::{Certificate, ClientConfig, ClientConnection, Error, ServerName};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::SystemTime;

type Tls = BufReader<rustls::StreamOwned<ClientConnection, TcpStream>>;

struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &Certificate,
        _: &[Certificate],
        _: &ServerName,
        _: &mut dyn Iterator<Item = &[u8]>,
        _: &[u8],
        _: SystemTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
}

fn connect(port: &str, version: &str) -> Tls {
    let version = match version {
        "1.2" => &rustls::version::TLS12,
        _ => &rustls::version::TLS13,
    };

    let config = ClientConfig::builder()
        .with_safe_default_cipher_suites()
        .with_safe_default_kx_groups()
        .with_protocol_versions(&[version])
        .expect("versions")
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();

    let name = ServerName::try_from("localhost").expect("name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("client");
    let address = format!("127.0.0.1:{}", port);
    let socket = TcpStream::connect(address).expect("connect");
    socket.set_nodelay(true).expect("nodelay");

    BufReader::new(rustls::StreamOwned::new(tls, socket))
}

fn take_line(tls: &mut Tls) -> String {
    let mut line = String::new();
    let n = tls.read_line(&mut line).expect("read");
    assert!(n > 0, "closed by the server");
    line.trim_end().to_string()
}

fn take_chunk(tls: &mut Tls) -> Vec<u8> {
    let size = usize::from_str_radix(&take_line(tls), 16).expect("a size");
    let mut data = vec![0; size + 2];
    tls.read_exact(&mut data).expect("a chunk");
    data.truncate(size);
    data
}

fn send(tls: &mut Tls, data: &[u8]) {
    tls.get_mut().write_all(data).expect("write");
    tls.get_mut().flush().expect("write");
}

fn send_chunk(tls: &mut Tls, data: &[u8]) {
    let head = format!("{:x}\r\n", data.len());
    send(tls, &[head.as_bytes(), data, b"\r\n"].concat());
}

fn attach(tls: &mut Tls, device: &str) {
    let request = format!(
        "POST /v1/applications/app1/devices/{} HTTP/1.1\r\n\
         Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        device
    );

    send(tls, request.as_bytes());
    assert!(take_line(tls).contains(" 200 "));
    while !take_line(tls).is_empty() {}
    assert!(take_chunk(tls).starts_with(b"{\"msg\":\"200\""));

    let connection = &tls.get_ref().conn;
    println!(
        "attached {} {:?}",
        match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        connection.negotiated_cipher_suite().expect("suite").suite()
    );
}

fn reply(call: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(call).expect("a call");
    let size = text.split(' ').next().unwrap().parse().expect("a size");
    call.iter().cycle().take(size).copied().collect()
}

fn leave(tls: &mut Tls) {
    send_chunk(tls, b"leaving");
    tls.get_mut().conn.send_close_notify();
    tls.get_mut().flush().expect("close_notify");

    // an end without close_notify is an error
    match tls.read_to_end(&mut Vec::new()) {
        Ok(_) => println!("closed"),
        Err(_) => println!("cut off"),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut tls = connect(&args[1], &args[2]);

    attach(&mut tls, &args[3]);

    loop {
        let call = take_chunk(&mut tls);

        match &call[..] {
            b"leave" => return leave(&mut tls),
            b"update" => send_chunk(&mut tls, b"cannot"),
            _ => send_chunk(&mut tls, &reply(&call)),
        }
    }
}
