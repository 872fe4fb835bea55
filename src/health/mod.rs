//! Is it healthy? [`status`] judges single objects by what their controllers wrote, [`review`] a set of them in each
//! other's context (out of any text: [`input`]), [`gate`] asks services real questions, [`cel`] evaluates the
//! expressions of both, [`diagnosis`] collects what a person needs to know about an object that is not healthy.

pub mod cel;
pub mod diagnosis;
pub mod gate;
pub mod input;
pub mod review;
pub mod status;
