import CKernels

/// A block of a device's memory. Tensors share it; it goes back to the device's cache with the last of them.
public final class Storage {
    /// Where it lives.
    public let device: Device
    let pointer: UnsafeMutableRawPointer
    let byteCount: Int

    /// Uninitialised memory.
    init(byteCount: Int, device: Device) {
        guard let pointer = device.kernels.allocate(max(byteCount, 1)) else {
            preconditionFailure("no memory left for a tensor of \(byteCount) bytes")
        }
        self.device = device
        self.pointer = pointer
        self.byteCount = byteCount
    }

    deinit { device.kernels.release(pointer, max(byteCount, 1)) }
}
