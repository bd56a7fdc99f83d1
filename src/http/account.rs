//! One's own money: balance, deposit, withdraw, transfer, statements, refunds.

use std::sync::Arc;

use axum::extract::State;
use domain::ids::TransferId;
use protocol::http::KeyHeader;
use protocol::http::account::{BalanceResponse, FundingRequest, TransactionResponse, TransferRequest};
use protocol::http::transaction::{
    RefundRequest, RefundResponse, Transaction, TransactionsQuery, TransactionsResponse,
};
use protocol::problem::Problem;

use crate::app::App;
use crate::failure::Failure;
use crate::http::answer::Answer;
use crate::http::auth::caller::SignedIn;
use crate::http::body::{Json, OptionalJson};
use crate::http::extract::{Id, Key, Params};
use crate::wallet;

/// What the account has.
#[utoipa::path(get, path = "/account/balance", tag = "account", responses(
    (status = 200, description = "The balance.", body = BalanceResponse),
), security(("bearer" = [])))]
pub async fn balance(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
) -> Result<axum::Json<BalanceResponse>, Failure> {
    wallet::balance::balance(&app, &caller).await.map(axum::Json)
}

/// Brings money onto the platform.
#[utoipa::path(post, path = "/account/deposit", tag = "account", request_body = FundingRequest,
    params(KeyHeader), responses(
    (status = 201, description = "Deposited.", body = TransactionResponse),
    (status = 403, description = "`funding_disabled`", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Refused by a rule.", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn deposit(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    key: Key,
    Json(request): Json<FundingRequest>,
) -> Result<Answer<TransactionResponse>, Failure> {
    wallet::funding::deposit(&app, &caller, &request, key.text()).await.map(Answer)
}

/// Takes money from the platform.
#[utoipa::path(post, path = "/account/withdraw", tag = "account", request_body = FundingRequest,
    params(KeyHeader), responses(
    (status = 201, description = "Withdrawn.", body = TransactionResponse),
    (status = 422, description = "Refused by a rule.", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn withdraw(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    key: Key,
    Json(request): Json<FundingRequest>,
) -> Result<Answer<TransactionResponse>, Failure> {
    wallet::funding::withdraw(&app, &caller, &request, key.text()).await.map(Answer)
}

/// Pays somebody.
#[utoipa::path(post, path = "/account/transfer", tag = "account", request_body = TransferRequest,
    params(KeyHeader), responses(
    (status = 201, description = "Paid.", body = TransactionResponse),
    (status = 202, description = "Debited; on its way to the payee.", body = TransactionResponse),
    (status = 404, description = "`payee_not_found`", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Refused by a rule.", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn transfer(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    key: Key,
    Json(request): Json<TransferRequest>,
) -> Result<Answer<TransactionResponse>, Failure> {
    wallet::transfer::transfer(&app, &caller, &request, key.text()).await.map(Answer)
}

/// The account's transactions, newest first. With filters a page may be short, or even empty, and have a next one:
/// only so many events are looked at for each.
#[utoipa::path(get, path = "/account/transactions", tag = "account", params(TransactionsQuery), responses(
    (status = 200, description = "A page.", body = TransactionsResponse),
), security(("bearer" = [])))]
pub async fn transactions(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Params(query): Params<TransactionsQuery>,
) -> Result<axum::Json<TransactionsResponse>, Failure> {
    wallet::statement::statement(&app, &caller, &query).await.map(axum::Json)
}

/// One transaction, with its entries as far as the caller may see them.
#[utoipa::path(get, path = "/account/transactions/{id}", tag = "account",
    params(("id" = uuid::Uuid, Path, description = "The transaction.")), responses(
    (status = 200, description = "The transaction.", body = Transaction),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn transaction(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(id): Id<TransferId>,
) -> Result<axum::Json<Transaction>, Failure> {
    wallet::transaction::transaction(&app, &caller, id).await.map(axum::Json)
}

/// Gives back what a transaction brought the caller, in part or whole.
#[utoipa::path(post, path = "/account/transactions/{id}/refund", tag = "account",
    request_body = Option<RefundRequest>,
    params(("id" = uuid::Uuid, Path, description = "The transaction."), KeyHeader), responses(
    (status = 201, description = "Refunded.", body = RefundResponse),
    (status = 202, description = "Debited; on its way back to the payer.", body = RefundResponse),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Refused by a rule.", body = Problem, content_type = "application/problem+json"),
), security(("bearer" = [])))]
pub async fn refund(
    State(app): State<Arc<App>>,
    SignedIn(caller): SignedIn,
    Id(id): Id<TransferId>,
    key: Key,
    OptionalJson(request): OptionalJson<RefundRequest>,
) -> Result<Answer<RefundResponse>, Failure> {
    wallet::refund::refund(&app, &caller, id, &request, key.text()).await.map(Answer)
}
