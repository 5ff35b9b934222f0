//! Namespaces and their tunnel devices, by the kernel's own calls. A device hands whole IPv4 packets to whoever holds its
//! file, and takes them from there; it is gone when the file is closed.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

const TUNNEL: &str = "/dev/net/tun";
const HERE: &str = "/proc/thread-self/ns/net";
/// Every device has the same name: each is alone in its namespace.
const NAME: &[u8] = b"llmhub0";
const LOOPBACK: &[u8] = b"lo";
/// Packets that wait in a device for the switch.
const QUEUE_LEN: libc::c_int = 4096;

/// Takes the calling thread, and what it starts from now on, into a network namespace and a mount namespace of its own. Call
/// it before there are other threads.
///
/// # Errors
/// What the system refuses: this needs root.
pub(crate) fn leave_host() -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })?;
    // What is mounted here must not be seen outside.
    // SAFETY: the texts end in zero, and null is allowed for the others.
    check(unsafe {
        let (none, root) = (std::ptr::null(), c"/".as_ptr());
        libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null())
    })?;
    bring_up(&socket()?, LOOPBACK)
}

/// A namespace with a tunnel of this address as its only way out.
///
/// # Errors
/// What the system refuses.
pub(crate) fn station(addr: Ipv4Addr) -> io::Result<(OwnedFd, OwnedFd)> {
    // Namespaces belong to threads: a thread enters a new one, and its file outlives the thread.
    let make = move || {
        // SAFETY: takes no pointers.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
        bring_up(&socket()?, LOOPBACK)?;
        Ok((OwnedFd::from(File::open(HERE)?), tunnel(addr)?))
    };
    let made = std::thread::spawn(make).join();
    made.unwrap_or_else(|_| Err(io::Error::other("making a namespace panicked")))
}

/// A tunnel device with this address in the calling thread's namespace.
///
/// # Errors
/// What the system refuses.
pub(crate) fn tunnel(addr: Ipv4Addr) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(TUNNEL)?;
    let mut request = request(NAME);
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the structure is the one that the call takes, and lives through it.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let socket = socket()?;
    let set = |call, part: libc::__c_anonymous_ifr_ifru| {
        let mut request = self::request(NAME);
        request.ifr_ifru = part;
        // SAFETY: as above.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), call, &raw mut request) })
    };
    set(libc::SIOCSIFADDR, libc::__c_anonymous_ifr_ifru { ifru_addr: internet(addr) })?;
    let mask = internet(Ipv4Addr::new(255, 255, 255, 0));
    set(libc::SIOCSIFNETMASK, libc::__c_anonymous_ifr_ifru { ifru_netmask: mask })?;
    set(libc::SIOCSIFTXQLEN, libc::__c_anonymous_ifr_ifru { ifru_metric: QUEUE_LEN })?;
    bring_up(&socket, NAME)?;
    Ok(file.into())
}

fn bring_up(socket: &OwnedFd, name: &[u8]) -> io::Result<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the structure is the one that the call takes, and lives through it.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) })
}

/// A socket to ask for changes through.
fn socket() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let number = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    check(number)?;
    // SAFETY: the number was given out just now, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn request(name: &[u8]) -> libc::ifreq {
    // SAFETY: all zeros are a valid request.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    request
}

fn internet(addr: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: all zeros are a valid address.
    let mut sockaddr: libc::sockaddr = unsafe { mem::zeroed() };
    sockaddr.sa_family = libc::AF_INET as libc::sa_family_t;
    // Port, then address.
    for (to, from) in sockaddr.sa_data[2..].iter_mut().zip(addr.octets()) {
        *to = from as libc::c_char;
    }
    sockaddr
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
