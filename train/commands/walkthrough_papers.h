// Sections of `patchcl walkthrough` about the other two papers: their losses and the gate on a handful of
// numbers, each computed from its formula beside what the op says. docs/walkthrough.md reads them aloud.
#pragma once

namespace patchcl {

void print_local_contrast();  // Hu et al. 2021, METHODS 2.3
void print_affinity();        // PDCR, METHODS 3.2
void print_gate();            // UAFS, METHODS 3.3

}  // namespace patchcl
