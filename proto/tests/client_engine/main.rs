//! The client engine against a scripted server, and against another client over lossy hops.

mod pair;
mod world;
