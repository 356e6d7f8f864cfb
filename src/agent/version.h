#pragma once
/* Version: of the agent, as in the build. */
#ifndef OBS_VERSION
#define OBS_VERSION "0.1.0"
#endif
#define AGENT_VERSION OBS_VERSION
