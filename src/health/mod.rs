//! Is it healthy? [`status`] judges single objects by what their controllers wrote, [`gate`] asks services real
//! questions, [`diagnosis`] collects what a person needs to know about an object that is not healthy.

pub mod cel;
pub mod diagnosis;
pub mod gate;
pub mod input;
pub mod review;
pub mod status;
