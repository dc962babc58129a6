import CKernels
import Glibc

/// The angles of rotary position embedding for the rows of one batch: cosines and sines, `[T, rotaryDimension / 2]` each.
public struct RotaryAngles {
    let cosines: Tensor
    let sines: Tensor

    /// Makes the table of `positions[t] · frequencies[i]`, computed in double precision.
    ///
    /// - Parameters:
    ///   - positions: of each row in its sequence.
    ///   - frequencies: radians a position for each pair of channels.
    ///   - scale: multiplies cosines and sines (YaRN's attention factor).
    ///   - device: where the tables live.
    public init(positions: [Int32], frequencies: [Double], scale: Double = 1, device: Device = .cpu) {
        let shape = [positions.count, frequencies.count]
        func table(_ function: (Double) -> Double) -> Tensor {
            Tensor(shape: shape, device: device) { out in
                var next = 0
                for position in positions {
                    for frequency in frequencies {
                        // The product in f32, as the models were trained with; its cosine exactly.
                        out[next] = Float(function(Double(Float(position) * Float(frequency))) * scale)
                        next += 1
                    }
                }
            }
        }
        cosines = table(Glibc.cos)
        sines = table(Glibc.sin)
    }
}

extension Tensor {
    /// Rotates each head's pairs of channels `(i, i + d/2)` by the row's angles (Su et al. 2021, in Hugging Face's channel order).
    ///
    /// Shape `[T, heads · headDimension]`; the result is stored as `type`, or as this tensor is. Gradient: the rotation back.
    public func rotated(by angles: RotaryAngles, headDimension: Int, as type: DType? = nil) -> Tensor {
        precondition(
            columns % headDimension == 0 && angles.cosines.rows == rows && 2 * angles.cosines.columns <= headDimension,
            "rows of shape \(shape) in heads of \(headDimension) with angles of shape \(angles.cosines.shape)")
        let result = rotated(by: angles, headDimension: headDimension, inverse: false, as: type ?? dtype)
        return result.recorded(from: [self]) { dout in
            [dout.rotated(by: angles, headDimension: headDimension, inverse: true, as: dout.dtype)]
        }
    }

    private func rotated(by angles: RotaryAngles, headDimension: Int, inverse: Bool, as type: DType) -> Tensor {
        let out = Tensor(uninitialized: shape, dtype: type, device: device)
        device.kernels.rotary(
            out.array, matrix, angles.cosines.floats, angles.sines.floats, Int64(rows), Int64(columns / headDimension),
            Int64(headDimension), Int64(2 * angles.cosines.columns), inverse)
        return out
    }
}
