#define DECODE otlp_json_decode
#include "fuzz_otlp.h"
