//! What breaks around a server, and what it then does. It is the real program, on a host of its own: see `rig`.
//!
//! | fault | what happens | what is logged |
//! |---|---|---|
//! | a packet filter refuses sends (EPERM) | the datagram is lost, the loop goes on, registrations stay | debug: length, address, reason; counted in `send_errors` |
//! | no route, host unreachable, prohibited, blackhole (ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL) | the same; trains are sent as trains afterwards | the same |
//! | the link takes less than a datagram (EMSGSIZE) | that datagram is lost, shorter ones pass; the sender repeats it until the call's time is over | the same |
//! | the link holds up sending (EAGAIN) | what does not fit is lost, no waiting | the same |
//! | a client's port is closed (ICMP port unreachable) | nothing: Linux tells an unconnected socket nothing | nothing |
//! | ENOBUFS | cannot be had: Linux hides it from UDP sockets that do not ask for it (`IP_RECVERR`), the datagram is lost on the link | nothing |
//! | interface down and up, address removed and added | nothing passes meanwhile; afterwards it serves again, sessions in force | debug: each failed send |
//! | source port 0 | no answer; it is no address | debug |
//! | suspended (SIGSTOP) | what waits in the receive buffer is heard before silence is judged: nobody is forgotten whose keepalive waits | nothing |
//! | the host's date is set | nothing: all time limits are on the monotonic clock; tickets of another date need a signature | nothing |
//! | full disk under the log file | lines are lost, the server serves, writing resumes by itself | standard error, when it begins and when it ends |
//! | log file moved or removed | the next line opens it anew under its name | nothing |
//! | log file emptied in place | the next line stands at its start | nothing |
//! | standard output closed or its reader gone | lines are lost, the server serves | standard error, once, where there is one |
//! | too few file descriptors | ends at the start with the system's reason, or serves; where the pipe of the signals is what is missing (6 or 7 descriptors), by a panic of tokio | standard error |
//! | too little memory at the start | ends at once, with the allocator's or the loader's reason | standard error |
//!
//! The order after a suspension is tested in `src/server.rs`, where time can be made to pass.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "faults/dates.rs"]
mod dates;
#[path = "faults/interface.rs"]
mod interface;
#[path = "support/lab.rs"]
mod lab;
#[path = "faults/limits.rs"]
mod limits;
#[path = "faults/log_file.rs"]
mod log_file;
#[path = "support/program.rs"]
#[expect(dead_code, reason = "these servers stand on hosts of their own")]
mod program;
#[path = "faults/rig.rs"]
mod rig;
#[path = "faults/sends.rs"]
mod sends;
#[path = "faults/suspended.rs"]
mod suspended;
