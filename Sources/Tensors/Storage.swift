import CKernels
import Files

/// A block of a device's memory. Tensors share it; it goes back to the device's cache with the last of them.
public final class Storage {
    /// Where it lives.
    public let device: Device
    let pointer: UnsafeMutableRawPointer
    let byteCount: Int
    private let owner: AnyObject?

    /// Uninitialised memory.
    init(byteCount: Int, device: Device) {
        guard let pointer = device.kernels.allocate(max(byteCount, 1)) else {
            preconditionFailure("no memory left for a tensor of \(byteCount) bytes")
        }
        self.device = device
        self.pointer = pointer
        self.byteCount = byteCount
        owner = nil
    }

    /// Memory of a mapped file, read-only, kept alive by `owner`.
    init(mapped bytes: UnsafeRawBufferPointer, owner: AnyObject, device: Device) {
        guard let start = bytes.baseAddress else { preconditionFailure("an empty mapping holds no tensor") }
        self.device = device
        pointer = UnsafeMutableRawPointer(mutating: start)
        byteCount = bytes.count
        self.owner = owner
    }

    deinit { if owner == nil { device.kernels.release(pointer, max(byteCount, 1)) } }
}
