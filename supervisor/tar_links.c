/* Remembers files with several links. */
#include <string.h>

#include "tar_writer.h"
#include "util.h"

#define BYTES_LIMIT (256u << 20) /* beyond it further links are written as files of their own */

static struct link_entry *slot_of(const struct link_table *table, dev_t dev, ino_t ino) {
  size_t at = (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15) ^ dev) >> 7);
  for (;; at++) {
    struct link_entry *slot = &table->slots[at & (table->capacity - 1)];
    if (!slot->name || (slot->dev == dev && slot->ino == ino)) return slot;
  }
}

static void grow(struct link_table *table) {
  struct link_table bigger = {.capacity = table->capacity ? table->capacity * 2 : 256};
  bigger.slots = xzalloc(bigger.capacity * sizeof *bigger.slots);
  for (size_t i = 0; i < table->capacity; i++)
    if (table->slots[i].name) *slot_of(&bigger, table->slots[i].dev, table->slots[i].ino) = table->slots[i];
  free(table->slots);
  table->slots = bigger.slots;
  table->capacity = bigger.capacity;
}

const char *link_table_find(struct link_table *table, const struct stat *facts, const char *name) {
  if (table->count * 2 >= table->capacity) grow(table);
  struct link_entry *slot = slot_of(table, facts->st_dev, facts->st_ino);
  if (slot->name) return slot->name;
  size_t size = strlen(name) + 1 + 2 * sizeof *slot;
  if (table->bytes + size > BYTES_LIMIT) return NULL;
  *slot = (struct link_entry){facts->st_dev, facts->st_ino, xstrdup(name)};
  table->bytes += size;
  table->count++;
  return NULL;
}

void link_table_free(struct link_table *table) {
  for (size_t i = 0; i < table->capacity; i++)
    free(table->slots[i].name);
  free(table->slots);
  *table = (struct link_table){0};
}
