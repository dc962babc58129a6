import Files
import Foundation
import Tensors

extension Commands {
    /// Fails where the environment variable `GRAFT_CPU` names instructions that this program or this processor does not have.
    ///
    /// - Throws: ``InputError``, with what is there.
    public static func checkMachine() throws {
        guard let asked = ProcessInfo.processInfo.environment["GRAFT_CPU"], !asked.isEmpty, asked != Device.cpu.path
        else { return }
        throw InputError(
            "`GRAFT_CPU=\(asked)`: this processor does not have that",
            hint: "It can be plain, avx2, avx512, avx512bf16 or amx, up to what the processor has: \(Device.cpu.path)")
    }
}
