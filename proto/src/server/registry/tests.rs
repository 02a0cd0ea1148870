use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn path(port: u16) -> Path {
    Path::from(std::net::SocketAddr::from(([192, 0, 2, 1], port)))
}

fn id(number: u8) -> PeerId {
    PeerId::plain([number; 16]).unwrap()
}

fn proof(seconds: u64) -> Proof {
    Proof(Tick::at(at(seconds)))
}

fn sweep(registry: &mut Registry, now: Instant) -> usize {
    std::iter::from_fn(|| registry.sweep(now)).flatten().count()
}

#[test]
fn silent_peer_is_forgotten_after_ttl_and_within_the_slack() {
    let mut registry = Registry::new(at(0), 8, &Limits::NONE, &Seed::from_number(1));
    registry.insert(at(1), id(1), path(1), proof(1)).unwrap();
    assert_eq!(sweep(&mut registry, at(61)), 0);
    assert_eq!(registry.len(), 1);
    assert_eq!(sweep(&mut registry, at(63)), 1);
    assert_eq!(registry.len(), 0);
    assert_eq!(registry.next_sweep(), None);
}

#[test]
fn renewed_peer_stays() {
    let mut registry = Registry::new(at(0), 8, &Limits::NONE, &Seed::from_number(1));
    let slot = registry.insert(at(0), id(1), path(1), proof(0)).unwrap();
    for second in (0..600).step_by(50) {
        registry.renew(at(second), slot, Via::default());
        assert_eq!(sweep(&mut registry, at(second + 50)), 0);
    }
    registry.check_invariants().unwrap();
}

#[test]
fn way_is_held_from_the_first_peer_that_is_reached_by_it_to_the_last() {
    let mut registry = Registry::new(at(0), 8, &Limits::NONE, &Seed::from_number(1));
    let by = |port, via| Path { via: Via(via), ..path(port) };
    registry.count_holders(Via(5));
    registry.count_holders(Via(3));
    let one = registry.insert(at(0), id(1), by(1, 5), proof(0)).unwrap();
    let two = registry.insert(at(0), id(2), by(2, 5), proof(0)).unwrap();
    let holders = |registry: &Registry| [3, 5, 6].map(|via| registry.holders(Via(via)));
    assert_eq!(holders(&registry), [0, 2, 0]);
    registry.renew(at(1), one, Via(3));
    registry.renew(at(1), one, Via(3));
    assert_eq!(holders(&registry), [1, 1, 0]);
    // Nobody counts this one.
    registry.settle(at(2), two, by(3, 6), proof(2));
    assert_eq!(holders(&registry), [1, 0, 0]);
    registry.check_invariants().unwrap();
    registry.remove(one).unwrap();
    assert_eq!(holders(&registry), [0, 0, 0]);
    assert_eq!(sweep(&mut registry, at(70)), 1);
    registry.check_invariants().unwrap();
}

#[test]
fn session_of_a_former_peer_in_the_same_slot_is_unknown() {
    let mut registry = Registry::new(at(0), 1, &Limits::NONE, &Seed::from_number(1));
    let slot = registry.insert(at(0), id(1), path(1), proof(0)).unwrap();
    let former = registry.session(slot);
    registry.remove(slot).unwrap();
    let slot = registry.insert(at(0), id(2), path(1), proof(0)).unwrap();
    assert_eq!(slot, PeerSlot(0));
    assert!(registry.by_session(former).is_none());
    assert!(registry.by_session(registry.session(slot)).is_some());
    assert!(registry.by_identifier(&id(1)).is_none());
}

#[test]
fn slot_reused_early_is_swept_at_its_own_time() {
    let mut registry = Registry::new(at(0), 1, &Limits::NONE, &Seed::from_number(1));
    let slot = registry.insert(at(0), id(1), path(1), proof(0)).unwrap();
    registry.remove(slot).unwrap();
    registry.insert(at(50), id(2), path(1), proof(0)).unwrap();
    assert_eq!(sweep(&mut registry, at(100)), 0);
    assert_eq!(sweep(&mut registry, at(112)), 1);
}

#[test]
fn full_registry_takes_nobody() {
    let mut registry = Registry::new(at(0), 2, &Limits::NONE, &Seed::from_number(1));
    assert!(registry.insert(at(0), id(1), path(1), proof(0)).is_some());
    assert!(registry.insert(at(0), id(2), path(2), proof(0)).is_some());
    assert!(registry.insert(at(0), id(3), path(3), proof(0)).is_none());
    registry.check_invariants().unwrap();
}

#[test]
fn a_peer_takes_one_cache_line_and_half_of_another_for_its_identifier() {
    assert_eq!((Slab::<Peer>::SLOT, align_of::<Peer>()), (64, 64));
    assert_eq!((size_of::<Name>(), align_of::<Name>()), (32, 32));
}
