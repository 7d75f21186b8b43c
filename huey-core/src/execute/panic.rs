//! Where a body panicked: the place is known only to the panic hook, which leaves it for the thread to find.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static INSTALL: Once = Once::new();

/// Adds the note of the place in front of whatever hook the program has.
pub(crate) fn install() {
    INSTALL.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some(at) = info.location() {
                // A thread that is ending has no such place any more.
                let _ = PLACE.try_with(|place| {
                    if let Ok(mut place) = place.try_borrow_mut() {
                        *place = Some(format!("{}:{}:{}", at.file(), at.line(), at.column()));
                    }
                });
            }
            before(info);
        }));
    });
}

/// Where this thread panicked last.
pub(crate) fn take_place() -> Option<String> {
    PLACE.with(|place| place.borrow_mut().take())
}
