#define DECODE otlp_proto_decode
#include "fuzz_otlp.h"
