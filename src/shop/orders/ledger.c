#include "shop/orders/ledger.h"
#include "base/json.h"
#include <errno.h>
#include <string.h>

#define TIME_OF(column)                                                                            \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

struct entry { /* one call: its connection and what became of it */
    struct db_connection *connection;
    enum orders_trouble *trouble;
};

static int judge(struct entry *e, int outcome)
{
    if (outcome == DB_OK)
        return 0;
    if (outcome < 0)
        return outcome;
    *e->trouble = orders_trouble(outcome, e->connection);
    return LEDGER_TROUBLE;
}

static int run(struct entry *e, const char *operation, const char *sql, size_t count,
               const char *const *parameters, PGresult **ret_rows)
{
    return judge(e, db_query(e->connection, operation, sql, count, parameters, ret_rows));
}

/* ---- rows to JSON; jansson takes a NULL as failure and passes it on ---- */

static json_t *text_at(const PGresult *rows, int row, int column)
{
    return json_string(PQgetvalue(rows, row, column));
}

static json_t *integer_at(const PGresult *rows, int row, int column)
{
    return json_integer(strtoll(PQgetvalue(rows, row, column), NULL, 10));
}

static json_t *summary_of(const PGresult *rows, int row)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "order_id", text_at(rows, row, 0), "user_id",
                     text_at(rows, row, 1), "status", text_at(rows, row, 2), "total_cents",
                     integer_at(rows, row, 3), "created_at", text_at(rows, row, 4));
}

static json_t *items_of(const PGresult *rows)
{
    json_t *items = json_array();

    for (int i = 0; i < PQntuples(rows); i++)
        json_array_append_new(
            items, json_pack("{s:o, s:o, s:o}", "product_id", integer_at(rows, i, 0), "quantity",
                             integer_at(rows, i, 1), "unit_price_cents", integer_at(rows, i, 2)));
    return items;
}

static json_t *history_of(const PGresult *rows)
{
    json_t *history = json_array();

    for (int i = 0; i < PQntuples(rows); i++)
        json_array_append_new(history,
                              json_pack("{s:o, s:o, s:o}", "status", text_at(rows, i, 0), "at",
                                        text_at(rows, i, 1), "detail", text_at(rows, i, 2)));
    return history;
}

/* ---- reading ---- */

int ledger_find(struct orders *orders, const char *order_id, json_t **ret_json,
                enum orders_trouble *ret_trouble)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    OBS_CLEANUP(PQclearp) PGresult *order = NULL;
    OBS_CLEANUP(PQclearp) PGresult *lines = NULL;
    OBS_CLEANUP(PQclearp) PGresult *history = NULL;
    struct entry e = {.trouble = ret_trouble};
    int r = judge(&e, db_acquire(orders->pool, &connection));

    e.connection = connection;
    if (r == 0)
        r = run(&e, "orders.find",
                "SELECT order_id, user_id, state, total_cents, " TIME_OF(
                    "created_at") " FROM orders WHERE order_id = $1",
                1, &order_id, &order);
    if (r == 0 && PQntuples(order) == 0)
        return LEDGER_NOT_FOUND;
    if (r == 0)
        r = run(&e, "order_lines.find",
                "SELECT product_id, quantity, unit_price_cents FROM order_lines"
                " WHERE order_id = $1 ORDER BY product_id",
                1, &order_id, &lines);
    if (r == 0)
        r = run(&e, "order_history.find",
                "SELECT state, " TIME_OF("at") ", detail FROM order_history"
                                               " WHERE order_id = $1 ORDER BY at",
                1, &order_id, &history);
    if (r != 0)
        return r;
    *ret_json = summary_of(order, 0);
    json_object_set_new(*ret_json, "items", items_of(lines));
    json_object_set_new(*ret_json, "history", history_of(history));
    return *ret_json ? 0 : -ENOMEM;
}

int ledger_list(struct orders *orders, const char *state, unsigned limit, json_t **ret_json,
                enum orders_trouble *ret_trouble)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    OBS_CLEANUP(PQclearp) PGresult *rows = NULL;
    struct entry e = {.trouble = ret_trouble};
    char limit_text[16];
    const char *parameters[] = {limit_text, state};
    json_t *list;
    int r = judge(&e, db_acquire(orders->pool, &connection));

    e.connection = connection;
    snprintf(limit_text, sizeof(limit_text), "%u", limit);
    if (r == 0)
        r = run(&e, "orders.list",
                state ? "SELECT order_id, user_id, state, total_cents, " TIME_OF(
                            "created_at") ", extract(epoch FROM clock_timestamp() - created_at) "
                                          "FROM orders"
                                          " WHERE state = $2 ORDER BY created_at LIMIT $1"
                      : "SELECT order_id, user_id, state, total_cents, " TIME_OF(
                            "created_at") ", extract(epoch FROM clock_timestamp() - created_at) "
                                          "FROM orders"
                                          " ORDER BY created_at LIMIT $1",
                state ? 2 : 1, parameters, &rows);
    if (r != 0)
        return r;
    list = json_array();
    for (int i = 0; i < PQntuples(rows); i++) {
        json_t *summary = summary_of(rows, i);
        json_object_set_new(summary, "age_seconds",
                            json_real(strtod(PQgetvalue(rows, i, 5), NULL)));
        json_array_append_new(list, summary);
    }
    *ret_json = json_pack("{s:o}", "orders", list);
    return *ret_json ? 0 : -ENOMEM;
}

/* ---- ending an order ---- */

/* The caller's transaction is open. LEDGER_OK with *ret_is_new false: it had this state before. */
static int move(struct entry *e, const char *order_id, const char *state, const char *detail,
                bool *ret_is_new)
{
    OBS_CLEANUP(PQclearp) PGresult *found = NULL;
    const char *parameters[] = {order_id, state, detail};
    int r = run(e, "orders.lock", "SELECT state FROM orders WHERE order_id = $1 FOR UPDATE", 1,
                &order_id, &found);

    if (r != 0)
        return r;
    *ret_is_new = false;
    if (PQntuples(found) == 0)
        return LEDGER_NOT_FOUND;
    if (strcmp(PQgetvalue(found, 0, 0), state) == 0)
        return 0;
    if (strcmp(PQgetvalue(found, 0, 0), "accepted") != 0)
        return LEDGER_CONFLICT;
    *ret_is_new = true;
    return run(e, "orders.update",
               "WITH h AS (INSERT INTO order_history (order_id, state, detail)"
               " VALUES ($1, $2, $3))"
               " UPDATE orders SET state = $2, updated_at = now() WHERE order_id = $1::uuid",
               3, parameters, NULL);
}

static int release_stock(struct entry *e, const char *order_id)
{
    /* Locked in the order of product_id, as checkouts do. */
    int r = run(e, "stock.lock",
                "SELECT 1 FROM stock WHERE product_id IN"
                " (SELECT product_id FROM order_lines WHERE order_id = $1)"
                " ORDER BY product_id FOR UPDATE",
                1, &order_id, NULL);

    if (r != 0)
        return r;
    return run(e, "stock.release",
               "UPDATE stock s SET available = s.available + l.quantity FROM order_lines l"
               " WHERE l.order_id = $1 AND l.product_id = s.product_id",
               1, &order_id, NULL);
}

static int end_order(struct orders *orders, const char *order_id, const char *state,
                     bool releases_stock, const char *detail, bool *ret_is_new,
                     enum orders_trouble *ret_trouble)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    struct entry e = {.trouble = ret_trouble};
    int r = judge(&e, db_acquire(orders->pool, &connection));

    e.connection = connection;
    if (r == 0)
        r = judge(&e, db_begin(connection));
    if (r == 0)
        r = move(&e, order_id, state, detail, ret_is_new);
    if (r == 0 && *ret_is_new && releases_stock)
        r = release_stock(&e, order_id);
    if (r == 0)
        r = judge(&e, db_commit(connection));
    return r;
}

int ledger_fulfil(struct orders *orders, const char *order_id, const char *detail, bool *ret_is_new,
                  enum orders_trouble *ret_trouble)
{
    return end_order(orders, order_id, "fulfilled", false, detail, ret_is_new, ret_trouble);
}

int ledger_dead_letter(struct orders *orders, const char *order_id, const char *detail,
                       bool *ret_is_new, enum orders_trouble *ret_trouble)
{
    return end_order(orders, order_id, "dead_lettered", true, detail, ret_is_new, ret_trouble);
}
