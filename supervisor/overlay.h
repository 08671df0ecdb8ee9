/* The root file system of a container: an overlay of any number of layers. */
#pragma once
#include "json.h"

/*
 * Mounts the overlay of a RootfsSpec ({"kind":"overlay","lower":[topmost first],"upper","work","target"}) at its
 * target, which is made when missing. With `upper` null nothing of it can be written.
 */
int overlay_mount(const json_t *rootfs, struct error *error);
