#include "shop/orders/checkout.h"

/*
 * Two flows, one per generation of the service.
 *
 *   classic: find key · check stock · pay · BEGIN · key · lock stock · order · outbox · COMMIT
 *   staged:  BEGIN · key · check stock · pay · lock stock · order · outbox · COMMIT
 *
 * A checkout holds its connection while it waits for the payment provider, as services with one
 * session per request do; classic does so outside any transaction. Staged was meant to let a
 * customer amend an order that met an obstacle within the same transaction: it keeps the session.
 * Nothing takes it up again.
 */
#include "base/clock.h"
#include "base/log.h"
#include "shop/orders/payment.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_LIMIT 16384 /* lists of items, fingerprints and messages; 50 items need about 4 kB */

struct checkout {
    struct orders *orders;
    struct orders_settings settings;
    const struct checkout_request *request;
    const char *key; /* NULL: no replay protection */
    struct db_connection *connection;
    struct obs_buffer fingerprint, products, quantities, prices, message;
    char total[24];
    struct checkout_result *result;
};

/* ---- sessions kept by the staged flow ---- */

struct checkout_sessions {
    pthread_mutex_t lock;
    struct db_connection *kept[200]; /* db.pool_size's maximum */
    size_t count;
};

struct checkout_sessions *checkout_sessions_new(void)
{
    struct checkout_sessions *sessions = calloc(1, sizeof(*sessions));

    if (sessions)
        pthread_mutex_init(&sessions->lock, NULL);
    return sessions;
}

static void sessions_keep(struct checkout_sessions *sessions, struct db_connection **connection)
{
    pthread_mutex_lock(&sessions->lock);
    if (sessions->count < OBS_COUNT(sessions->kept))
        sessions->kept[sessions->count++] = OBS_TAKE(*connection);
    pthread_mutex_unlock(&sessions->lock);
}

void checkout_sessions_end(struct checkout_sessions *sessions)
{
    struct db_connection *ended[OBS_COUNT(sessions->kept)];
    size_t count;

    pthread_mutex_lock(&sessions->lock);
    count = sessions->count;
    memcpy(ended, sessions->kept, count * sizeof(ended[0]));
    sessions->count = 0;
    pthread_mutex_unlock(&sessions->lock);
    for (size_t i = 0; i < count; i++)
        db_release(ended[i]);
}

struct checkout_sessions *checkout_sessions_free(struct checkout_sessions *sessions)
{
    if (!sessions)
        return NULL;
    checkout_sessions_end(sessions);
    pthread_mutex_destroy(&sessions->lock);
    free(sessions);
    return NULL;
}

/* ---- one statement: a step answers 0 or the checkout's outcome ---- */

static int judge(struct checkout *c, int outcome)
{
    if (outcome == DB_OK)
        return 0;
    if (outcome < 0)
        return outcome;
    c->result->trouble = orders_trouble(outcome, c->connection);
    return CHECKOUT_TROUBLE;
}

static int run(struct checkout *c, const char *operation, const char *sql, size_t count,
               const char *const *parameters, PGresult **ret_rows)
{
    return judge(c, db_query(c->connection, operation, sql, count, parameters, ret_rows));
}

static void copy_value(char *out, size_t capacity, const PGresult *rows, int column)
{
    snprintf(out, capacity, "%s", PQgetvalue(rows, 0, column));
}

/* ---- steps ---- */

static int find_key(struct checkout *c)
{
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    const char *parameters[] = {c->request->user_id, c->key, c->fingerprint.data};
    int r = run(c, "idempotency.find",
                "SELECT k.fingerprint = sha256(convert_to($3, 'UTF8')), o.order_id, o.state,"
                " o.total_cents,"
                " to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
                " FROM idempotency_keys k JOIN orders o USING (order_id)"
                " WHERE k.user_id = $1 AND k.key = $2",
                3, parameters, &rows);

    if (r != 0 || PQntuples(rows) == 0)
        return r;
    if (PQgetvalue(rows, 0, 0)[0] != 't')
        return CHECKOUT_KEY_REUSED;
    copy_value(c->result->order_id, sizeof(c->result->order_id), rows, 1);
    copy_value(c->result->status, sizeof(c->result->status), rows, 2);
    c->result->total_cents = strtoll(PQgetvalue(rows, 0, 3), NULL, 10);
    copy_value(c->result->created_at, sizeof(c->result->created_at), rows, 4);
    return CHECKOUT_REPLAYED;
}

static int begin(struct checkout *c)
{
    char sql[96];
    int r = judge(c, db_begin(c->connection));

    if (r != 0 || c->settings.idle_timeout_ms == 0)
        return r;
    snprintf(sql, sizeof(sql), "SET LOCAL idle_in_transaction_session_timeout = %u",
             c->settings.idle_timeout_ms);
    return run(c, "SET", sql, 0, NULL, NULL);
}

/* Waits for another transaction that is about to use the same key; when that one commits, its order
 * is ours. */
static int claim_key(struct checkout *c)
{
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    const char *parameters[] = {c->request->user_id, c->key, c->fingerprint.data,
                                c->result->order_id};
    int r = run(c, "idempotency.insert",
                "INSERT INTO idempotency_keys (user_id, key, fingerprint, order_id)"
                " VALUES ($1, $2, sha256(convert_to($3, 'UTF8')), $4)"
                " ON CONFLICT DO NOTHING RETURNING 1",
                4, parameters, &rows);

    if (r != 0 || PQntuples(rows) == 1)
        return r;
    return find_key(c);
}

static int check_stock(struct checkout *c)
{
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    const char *parameters[] = {c->products.data, c->quantities.data};
    int r = run(c, "stock.check",
                "SELECT w.product_id FROM unnest($1::bigint[], $2::integer[]) AS w(product_id, n)"
                " LEFT JOIN stock s USING (product_id)"
                " WHERE s.available IS NULL OR s.available < w.n ORDER BY 1 LIMIT 1",
                2, parameters, &rows);

    if (r != 0 || PQntuples(rows) == 0)
        return r;
    c->result->product_id = strtoll(PQgetvalue(rows, 0, 0), NULL, 10);
    return CHECKOUT_OUT_OF_STOCK;
}

static int pay(struct checkout *c)
{
    return payment_authorize(c->settings.authorize_ms, c->settings.decline_ratio,
                             c->request->total_cents) == PAYMENT_AUTHORIZED
               ? 0
               : CHECKOUT_DECLINED;
}

static int lock_stock(struct checkout *c)
{
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    const char *parameters[] = {c->products.data};
    int row = 0;
    int r = run(c, "stock.lock",
                "SELECT product_id, available FROM stock WHERE product_id = ANY($1::bigint[])"
                " ORDER BY product_id FOR UPDATE",
                1, parameters, &rows);

    if (r != 0)
        return r;
    for (size_t i = 0; i < c->request->item_count; i++) {
        const struct checkout_item *item = &c->request->items[i]; /* ascending, as the rows are */
        bool is_there = row < PQntuples(rows) &&
                        strtoll(PQgetvalue(rows, row, 0), NULL, 10) == item->product_id;
        if (!is_there || strtoll(PQgetvalue(rows, row, 1), NULL, 10) < item->quantity) {
            c->result->product_id = item->product_id;
            return CHECKOUT_OUT_OF_STOCK;
        }
        row++;
    }
    return 0;
}

static int reserve_stock(struct checkout *c)
{
    const char *parameters[] = {c->products.data, c->quantities.data};

    return run(c, "stock.reserve",
               "UPDATE stock s SET available = s.available - w.n"
               " FROM unnest($1::bigint[], $2::integer[]) AS w(product_id, n)"
               " WHERE s.product_id = w.product_id",
               2, parameters, NULL);
}

static int insert_order(struct checkout *c)
{
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    const char *parameters[] = {
        c->result->order_id, c->request->user_id, c->total,      c->request->delivery_note,
        c->products.data,    c->quantities.data,  c->prices.data};
    int r = run(c, "orders.insert",
                "WITH o AS (INSERT INTO orders (order_id, user_id, state, total_cents,"
                " delivery_note) VALUES ($1, $2, 'accepted', $3, $4)"
                " RETURNING order_id, created_at),"
                " l AS (INSERT INTO order_lines (order_id, product_id, quantity, unit_price_cents)"
                " SELECT $1::uuid, p, n, c"
                " FROM unnest($5::bigint[], $6::integer[], $7::bigint[]) AS w(p, n, c)),"
                " h AS (INSERT INTO order_history (order_id, state) VALUES ($1::uuid, 'accepted'))"
                " SELECT to_char(created_at AT TIME ZONE 'UTC',"
                " 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM o",
                7, parameters, &rows);

    if (r == 0)
        copy_value(c->result->created_at, sizeof(c->result->created_at), rows, 0);
    return r;
}

static int write_message(struct checkout *c)
{
    struct obs_buffer *b = &c->message;

    obs_buffer_printf(b, "{\"order_id\":\"%s\",\"user_id\":", c->result->order_id);
    obs_buffer_append_json(b, c->request->user_id, strlen(c->request->user_id));
    obs_buffer_printf(b, ",\"created_at\":\"%s\",\"items\":[", c->result->created_at);
    for (size_t i = 0; i < c->request->item_count; i++)
        obs_buffer_printf(b, "%s{\"product_id\":%" PRId64 ",\"quantity\":%" PRId64 "}",
                          i > 0 ? "," : "", c->request->items[i].product_id,
                          c->request->items[i].quantity);
    obs_buffer_append_text(b, "],\"delivery_note\":");
    obs_buffer_append_json(b, c->request->delivery_note, strlen(c->request->delivery_note));
    return obs_buffer_append_char(b, '}');
}

static int insert_message(struct checkout *c)
{
    char traceparent[OBS_TRACEPARENT_SIZE] = "";
    const char *parameters[] = {c->result->order_id, NULL, traceparent};
    int r = write_message(c);

    if (r < 0)
        return r;
    if (obs_trace_current())
        obs_traceparent_emit(obs_trace_current(), traceparent);
    parameters[1] = c->message.data;
    return run(c, "outbox.insert",
               "INSERT INTO outbox (order_id, body, traceparent) VALUES ($1, $2, $3)", 3,
               parameters, NULL);
}

static int commit(struct checkout *c)
{
    return judge(c, db_commit(c->connection));
}

/* ---- the two flows ---- */

static int run_classic(struct checkout *c)
{
    int r = c->key ? find_key(c) : 0;

    if (r == 0)
        r = check_stock(c);
    if (r == 0)
        r = pay(c);
    if (r == 0)
        r = begin(c);
    if (r == 0 && c->key)
        r = claim_key(c);
    return r;
}

static int run_staged(struct checkout *c)
{
    int r = begin(c);

    if (r == 0 && c->key)
        r = claim_key(c);
    if (r == 0)
        r = check_stock(c);
    if (r == 0)
        r = pay(c);
    return r;
}

static int complete(struct checkout *c)
{
    int r = lock_stock(c);

    if (r == 0)
        r = reserve_stock(c);
    if (r == 0)
        r = insert_order(c);
    if (r == 0)
        r = insert_message(c);
    if (r == 0)
        r = commit(c);
    return r;
}

static bool keeps_session(const struct checkout *c, int outcome)
{
    return c->settings.flow == ORDERS_FLOW_STAGED &&
           (outcome == CHECKOUT_OUT_OF_STOCK || outcome == CHECKOUT_DECLINED ||
            outcome == CHECKOUT_KEY_REUSED);
}

static int run_connected(struct checkout *c)
{
    int r = judge(c, db_acquire(c->orders->pool, &c->connection));

    if (r != 0)
        return r;
    r = c->settings.flow == ORDERS_FLOW_CLASSIC ? run_classic(c) : run_staged(c);
    if (r == 0)
        r = complete(c);
    if (keeps_session(c, r))
        sessions_keep(c->orders->sessions, &c->connection);
    c->connection = db_release(c->connection); /* rolls back what was not committed */
    return r;
}

/* ---- lists for PostgreSQL, and the whole ---- */

static int write_lists(struct checkout *c)
{
    for (size_t i = 0; i < c->request->item_count; i++) {
        const struct checkout_item *item = &c->request->items[i];
        const char *separator = i > 0 ? "," : "{";
        obs_buffer_printf(&c->products, "%s%" PRId64, separator, item->product_id);
        obs_buffer_printf(&c->quantities, "%s%" PRId64, separator, item->quantity);
        obs_buffer_printf(&c->prices, "%s%" PRId64, separator, item->unit_price_cents);
    }
    obs_buffer_append_char(&c->products, '}');
    obs_buffer_append_char(&c->quantities, '}');
    obs_buffer_append_char(&c->prices, '}');
    snprintf(c->total, sizeof(c->total), "%" PRId64, c->request->total_cents);
    if (c->products.error || c->quantities.error || c->prices.error)
        return -ENOMEM;
    return checkout_request_fingerprint(c->request, &c->fingerprint);
}

static void checkout_done(struct checkout *c)
{
    obs_buffer_done(&c->fingerprint);
    obs_buffer_done(&c->products);
    obs_buffer_done(&c->quantities);
    obs_buffer_done(&c->prices);
    obs_buffer_done(&c->message);
}

int checkout_run(struct orders *orders, const struct checkout_request *request, const char *key,
                 struct checkout_result *ret_result)
{
    OBS_CLEANUP(checkout_done)
    struct checkout c = {
        .orders = orders,
        .settings = orders_settings_now(orders),
        .request = request,
        .fingerprint = OBS_BUFFER_INIT(TEXT_LIMIT),
        .products = OBS_BUFFER_INIT(TEXT_LIMIT),
        .quantities = OBS_BUFFER_INIT(TEXT_LIMIT),
        .prices = OBS_BUFFER_INIT(TEXT_LIMIT),
        .message = OBS_BUFFER_INIT(TEXT_LIMIT),
        .result = ret_result,
    };
    int r;

    *ret_result =
        (struct checkout_result){.status = "accepted", .total_cents = request->total_cents};
    order_id_make(ret_result->order_id);
    if (key && *key && c.settings.is_idempotent)
        c.key = key;
    r = write_lists(&c);
    return r < 0 ? r : run_connected(&c);
}
