#pragma once
/* The API of orders over HTTP: see ORDERS_ROUTES. Handlers' userdata is a struct orders. */
#include "base/http_server.h"

extern const struct obs_http_route ORDERS_ROUTES[];
extern const size_t ORDERS_ROUTE_COUNT;
