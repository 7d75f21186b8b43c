//! Typed data that the program gives to its tasks: what `#[data]` parameters borrow.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// A map from a type to the one shared value of it.
#[derive(Clone, Default)]
#[doc(hidden)]
pub struct Data(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Data {
    /// Provides a value; a second one of the same type replaces the first.
    pub fn put<T: ?Sized + Send + Sync + 'static>(&mut self, value: Arc<T>) {
        self.0.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of type `T`, if one was provided.
    #[must_use]
    pub fn get<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<Arc<T>>().cloned()
    }

    /// Whether a value of that type was provided.
    #[must_use]
    pub fn holds(&self, need: &Need) -> bool {
        self.0.contains_key(&(need.id)())
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data").field("types", &self.0.len()).finish()
    }
}

/// A type of data that a task needs.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct Need {
    pub id: fn() -> TypeId,
    pub name: fn() -> &'static str,
}

impl Need {
    /// The need for a `T`. That it can be shared is asked where it is taken, once.
    #[must_use]
    pub const fn of<T: ?Sized + 'static>() -> Self {
        Self { id: TypeId::of::<T>, name: std::any::type_name::<T> }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Greeter: Send + Sync {
        fn greet(&self) -> u8;
    }
    struct English;
    impl Greeter for English {
        fn greet(&self) -> u8 {
            3
        }
    }

    #[test]
    fn a_trait_object_is_found_under_its_trait() {
        let mut data = Data::default();
        data.put::<dyn Greeter>(Arc::new(English));
        assert_eq!(data.get::<dyn Greeter>().map(|greeter| greeter.greet()), Some(3));
        assert!(data.holds(&Need::of::<dyn Greeter>()));
        assert!(!data.holds(&Need::of::<English>()));
    }
}
