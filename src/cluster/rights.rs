//! Asks the API server which of a set of rights we have, before anything is written.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::{Api, PostParams};

use super::connect::timed;
use super::{Cluster, ClusterError};
use crate::plan::rights::Right;

/// Questions under way at once.
const CONCURRENCY: usize = 16;

/// Those of the rights that we do not have, in their order. An administrator, who may do everything, is asked about once.
///
/// # Errors
/// When the cluster does not answer, or answers no such questions.
pub async fn missing_rights<'r>(
    cluster: &Cluster,
    rights: impl IntoIterator<Item = &'r Right>,
) -> Result<Vec<Right>, ClusterError> {
    let everything = ["*"; 3].map(|all| Some(all.to_owned()));
    let [group, resource, verb] = everything;
    if may(cluster, ResourceAttributes { group, resource, verb, ..ResourceAttributes::default() }).await? {
        return Ok(Vec::new());
    }
    let answers = rights.into_iter().cloned().map(|right| async move {
        let (resource, subresource) = match right.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (right.resource.as_str(), None),
        };
        let attributes = ResourceAttributes {
            namespace: right.namespace.clone(),
            group: Some(right.group.clone()),
            resource: Some(resource.to_owned()),
            subresource,
            name: right.name.clone(),
            verb: Some(right.verb.clone()),
            ..ResourceAttributes::default()
        };
        Ok::<_, ClusterError>((!may(cluster, attributes).await?).then_some(right))
    });
    let answers: Vec<Option<Right>> = stream::iter(answers).buffered(CONCURRENCY).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn may(cluster: &Cluster, attributes: ResourceAttributes) -> Result<bool, ClusterError> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let answer = timed(&cluster.server, reviews.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|SubjectAccessReviewStatus { allowed, .. }| allowed))
}
