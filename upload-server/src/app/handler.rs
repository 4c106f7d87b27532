//! Handlers in axum's shape: async functions whose arguments are taken from what called them.

use axum::response::Response;
use http::request::Parts;

use super::argument::Argument;

/// An async function or closure with up to eight arguments, each of which is taken from the call.
///
/// [`Argument`] says what an argument may be. It is implemented for functions only.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
///
/// use upload_server::{HandlerError, Owner, Uploads};
///
/// async fn whoami(Owner(owner): Owner) -> Result<String, HandlerError> {
///     Ok(owner)
/// }
///
/// let visits = Arc::new(AtomicU32::new(0));
/// let builder = Uploads::builder()
///     .handle_event("whoami", whoami)
///     .handle_event("visit", async move |Owner(owner): Owner| {
///         let visit = visits.fetch_add(1, Ordering::Relaxed);
///         Ok::<_, HandlerError>(format!("{owner} is visitor {visit}"))
///     });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is an async function or closure of at most 8 arguments; a closure names their types",
    note = "it has to be `Clone + Send + Sync + 'static`, so what it captures has to be as well"
)]
pub trait Handler<Arguments>: Clone + Send + Sync + 'static {
    /// What it returns: a future.
    type Returned;

    /// Calls it.
    fn call(self, arguments: Arguments) -> Self::Returned;
}

/// The arguments of a [`Handler`], each an [`Argument`].
///
/// It is implemented for tuples only.
pub trait Arguments<C, S, M>: Sized {
    /// Takes them from a call, in their order.
    fn from_call(
        call: &C,
        parts: &mut Parts,
        state: &S,
    ) -> impl Future<Output = Result<Self, Box<Response>>> + Send;
}

impl<F, R> Handler<()> for F
where
    F: FnOnce() -> R + Clone + Send + Sync + 'static,
{
    type Returned = R;

    fn call(self, (): ()) -> R {
        self()
    }
}

impl<C: Sync, S: Sync> Arguments<C, S, ()> for () {
    async fn from_call(_: &C, _: &mut Parts, _: &S) -> Result<Self, Box<Response>> {
        Ok(())
    }
}

/// Implements both traits for one number of arguments.
macro_rules! arguments {
    ($($argument:ident $marker:ident),+) => {
        impl<F, R, $($argument),+> Handler<($($argument,)+)> for F
        where
            F: FnOnce($($argument),+) -> R + Clone + Send + Sync + 'static,
        {
            type Returned = R;

            #[expect(non_snake_case, reason = "named as their types")]
            fn call(self, ($($argument,)+): ($($argument,)+)) -> R {
                self($($argument),+)
            }
        }

        impl<C: Sync, S: Sync, $($argument, $marker),+> Arguments<C, S, ($($marker,)+)>
            for ($($argument,)+)
        where
            $($argument: Argument<C, S, $marker> + Send),+
        {
            #[expect(non_snake_case, reason = "named as their types")]
            async fn from_call(
                call: &C,
                parts: &mut Parts,
                state: &S,
            ) -> Result<Self, Box<Response>> {
                $(let $argument = $argument::take(call, parts, state).await?;)+
                Ok(($($argument,)+))
            }
        }
    };
}

arguments!(A MA);
arguments!(A MA, B MB);
arguments!(A MA, B MB, C1 MC);
arguments!(A MA, B MB, C1 MC, D MD);
arguments!(A MA, B MB, C1 MC, D MD, E ME);
arguments!(A MA, B MB, C1 MC, D MD, E ME, F1 MF);
arguments!(A MA, B MB, C1 MC, D MD, E ME, F1 MF, G MG);
arguments!(A MA, B MB, C1 MC, D MD, E ME, F1 MF, G MG, H MH);
