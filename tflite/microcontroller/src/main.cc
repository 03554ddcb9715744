// Test the model on this device: print PASS or FAIL, then the arena bytes in use.
#include "print.h"
#include "runner.h"
#include "self_test.h"

int main() {
  using namespace dart_keras;
  if (!StartModel()) {
    Print("FAIL\n");
    return 1;
  }
  const bool passed = RunSelfTest();
  Print(passed ? "PASS\n" : "FAIL\n");
  Print("arena bytes used: ");
  Print(static_cast<std::int64_t>(ArenaBytesUsed()));
  Print("\n");
  return passed ? 0 : 1;
}
