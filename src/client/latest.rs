//! A state that can be followed: the latest is kept, what came between is not.

use tokio::sync::watch;

/// Follows a state. Cheap to clone, and apart from the handle that gave it: it can be waited for beside what that one waits
/// for.
#[derive(Clone, Debug)]
pub struct Latest<T>(watch::Receiver<T>);

impl<T: Clone> Latest<T> {
    pub(super) const fn new(state: watch::Receiver<T>) -> Self {
        Self(state)
    }

    /// Returns the state as it is.
    #[must_use]
    pub fn now(&self) -> T {
        self.0.borrow().clone()
    }

    /// Waits until the state is another than this one has last returned here, and returns it; `None` when it will not change
    /// any more. Can be cancelled.
    pub async fn changed(&mut self) -> Option<T> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}
