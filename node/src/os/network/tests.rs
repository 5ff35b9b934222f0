//! Who gets through the cluster port's TLS, on real sockets.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use ring::digest::{SHA256, digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct Ca {
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn ca() -> Ca {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    Ca { certificate, issuer: Issuer::new(params, key) }
}

impl Ca {
    fn identity_named(&self, node: NodeId, names: Vec<String>) -> Identity {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Identity { node, certificate, key: key.serialize_der(), authorities: vec![self.certificate.clone()] }
    }

    fn identity(&self, node: u64) -> Identity {
        self.identity_named(NodeId(node), vec![tls::certificate_name(NodeId(node))])
    }

    fn pin(&self) -> [u8; 32] {
        digest(&SHA256, &self.certificate).as_ref().try_into().unwrap()
    }
}

async fn stranger() -> OsNetwork {
    let at = Listen { cluster: "127.0.0.1:0".into(), http: "127.0.0.1:0".into(), ..Listen::default() };
    OsNetwork::bind(&at, &Handle::current()).await.unwrap()
}

async fn node(identity: Identity) -> OsNetwork {
    let network = stranger().await;
    network.assume(identity);
    network
}

/// Whether a stream that was dialled carries anything: a refusal may show only after the client's handshake.
async fn answers(mut io: BoxIo, server: &OsNetwork) -> Option<Inbound> {
    let exchange = async {
        let mut inbound = server.accept().await.unwrap();
        inbound.io.write_all(b"hello").await.unwrap();
        inbound.io.flush().await.unwrap();
        inbound
    };
    let mut heard = [0; 5];
    let read = async { io.read_exact(&mut heard).await };
    tokio::pin!(exchange);
    tokio::select! {
        inbound = &mut exchange => {
            io.read_exact(&mut heard).await.unwrap();
            Some(inbound)
        }
        read = read => {
            assert!(read.is_err(), "bytes came from nowhere");
            None
        }
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it hangs")
}

#[tokio::test]
async fn nodes_of_one_cluster_know_each_other_on_every_protocol() {
    let ca = ca();
    let (one, two) = (node(ca.identity(1)).await, node(ca.identity(2)).await);
    let addr = two.cluster_addr().to_string();
    for protocol in Protocol::ALL.into_iter().filter(|p| *p != Protocol::Join) {
        let io = within(one.dial(&addr, NodeId(2), protocol)).await.unwrap();
        let inbound = within(answers(io, &two)).await.unwrap();
        assert_eq!((inbound.peer, inbound.protocol), (Some(NodeId(1)), protocol));
    }
}

#[tokio::test]
async fn a_peer_that_does_not_know_a_protocol_is_told_from_one_that_refuses() {
    let ca = ca();
    let one = node(ca.identity(1)).await;
    let mut older = (*tls::ClusterTls::new(&ca.identity(2)).unwrap().server).clone();
    older.alpn_protocols = vec![Protocol::Raft.alpn().to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(older));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let unknown = within(one.dial(&addr, NodeId(2), Protocol::Calls)).await.err().unwrap();
    assert_eq!(unknown.kind(), io::ErrorKind::Unsupported, "{unknown}");
    assert!(within(one.dial(&addr, NodeId(2), Protocol::Raft)).await.is_ok());
    let refused = within(one.dial(&addr, NodeId(3), Protocol::Raft)).await.err().unwrap();
    assert_ne!(refused.kind(), io::ErrorKind::Unsupported, "{refused}");
}

#[tokio::test]
async fn a_peer_that_is_not_who_was_expected_is_refused() {
    let ca = ca();
    let (one, two) = (node(ca.identity(1)).await, node(ca.identity(2)).await);
    let addr = two.cluster_addr().to_string();
    assert!(within(one.dial(&addr, NodeId(3), Protocol::Raft)).await.is_err());
}

#[tokio::test]
async fn nodes_of_another_cluster_are_refused_on_both_sides() {
    let (ours, theirs) = (ca(), ca());
    let (one, two) = (node(ours.identity(1)).await, node(theirs.identity(2)).await);
    let addr = two.cluster_addr().to_string();
    assert!(within(one.dial(&addr, NodeId(2), Protocol::Raft)).await.is_err());

    // A client that trusts the server still may not come in with a certificate of another cluster.
    let traitor = Identity { authorities: vec![theirs.certificate.clone()], ..ours.identity(1) };
    let one = node(traitor).await;
    if let Ok(io) = within(one.dial(&addr, NodeId(2), Protocol::Raft)).await {
        assert!(within(answers(io, &two)).await.is_none());
    }
}

#[tokio::test]
async fn only_joining_goes_without_a_certificate() {
    let ca = ca();
    let two = node(ca.identity(2)).await;
    for protocol in Protocol::ALL.into_iter().filter(|p| *p != Protocol::Join) {
        let mut config = tls::join_client(ca.pin()).unwrap();
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        let stream = TcpStream::connect(two.cluster_addr()).await.unwrap();
        let name = tls::server_name(NodeId(2)).unwrap();
        let io = within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap();
        assert!(within(answers(Box::new(io), &two)).await.is_none(), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_newcomer_with_the_right_pin_gets_in_and_has_no_name() {
    let ca = ca();
    let (new, two) = (stranger().await, node(ca.identity(2)).await);
    let io = within(new.dial_join(&two.cluster_addr().to_string(), ca.pin())).await.unwrap();
    let inbound = within(answers(io, &two)).await.unwrap();
    assert_eq!((inbound.peer, inbound.protocol), (None, Protocol::Join));
}

#[tokio::test]
async fn a_newcomer_with_the_wrong_pin_hangs_up() {
    let ca = ca();
    let (new, two) = (stranger().await, node(ca.identity(2)).await);
    assert!(within(new.dial_join(&two.cluster_addr().to_string(), [7; 32])).await.is_err());
}

#[tokio::test]
async fn a_server_that_shows_the_pinned_ca_but_is_not_of_it_is_refused() {
    let (ours, theirs) = (ca(), ca());
    let impostor = Identity { authorities: vec![ours.certificate.clone()], ..theirs.identity(2) };
    let (new, two) = (stranger().await, node(impostor).await);
    assert!(within(new.dial_join(&two.cluster_addr().to_string(), ours.pin())).await.is_err());
}

#[tokio::test]
async fn a_certificate_of_two_names_or_a_short_name_speaks_for_nobody() {
    let ca = ca();
    let two = node(ca.identity(2)).await;
    let names = |ids: &[u64]| ids.iter().map(|id| tls::certificate_name(NodeId(*id))).collect::<Vec<_>>();
    for names in [names(&[1, 3]), vec!["n-1.llmhub".to_owned()], vec!["example.org".to_owned()]] {
        let one = node(ca.identity_named(NodeId(1), names.clone())).await;
        let io = within(one.dial(&two.cluster_addr().to_string(), NodeId(2), Protocol::Relay)).await.unwrap();
        assert!(within(answers(io, &two)).await.is_none(), "{names:?}");
    }
}

#[tokio::test]
async fn nothing_is_taken_before_there_is_an_identity() {
    let ca = ca();
    let (one, two) = (node(ca.identity(1)).await, stranger().await);
    let addr = two.cluster_addr().to_string();
    let dial = one.dial(&addr, NodeId(2), Protocol::Door);
    tokio::pin!(dial);
    // The dial is under way, then the identity comes, then it is answered.
    assert!(futures::poll!(&mut dial).is_pending());
    two.assume(ca.identity(2));
    let io = within(dial).await.unwrap();
    assert_eq!(within(answers(io, &two)).await.unwrap().peer, Some(NodeId(1)));
    assert!(stranger().await.dial(&addr, NodeId(2), Protocol::Door).await.is_err());
}

#[tokio::test]
async fn datagrams_go_between_cluster_ports() {
    let (one, two) = (stranger().await, stranger().await);
    one.send_datagram(&two.cluster_addr().to_string(), b"ping").await.unwrap();
    assert_eq!(within(two.recv_datagram()).await.unwrap(), "ping");
}

#[tokio::test]
async fn clients_are_answered_over_tls_where_files_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let at = Listen {
        cluster: "127.0.0.1:0".into(),
        http: "127.0.0.1:0".into(),
        http_tls: Some((cert.clone(), key)),
        ca_file: Some(cert),
    };
    let network = OsNetwork::bind(&at, &Handle::current()).await.unwrap();
    let port = network.http_addr().port();
    let (served, dialled) =
        tokio::join!(within(network.accept_http()), network.connect("localhost", port, true));
    let (mut served, mut dialled) = (served.unwrap().0, dialled.unwrap());
    served.write_all(b"hello").await.unwrap();
    served.flush().await.unwrap();
    let mut heard = [0; 5];
    within(dialled.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn a_certificate_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.pem");
    std::fs::write(&bad, "nothing").unwrap();
    let at = Listen {
        cluster: "127.0.0.1:0".into(),
        http: "127.0.0.1:0".into(),
        http_tls: Some((bad.clone(), bad)),
        ca_file: None,
    };
    let error = OsNetwork::bind(&at, &Handle::current()).await.err().unwrap();
    assert!(error.to_string().contains("bad.pem cannot be used for TLS"), "{error}");
}
