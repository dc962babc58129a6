import CKernels

extension Tensor {
    /// `y = x · scale + bias + addend`: every row of `x [T, C]` times one vector.
    ///
    /// - Parameters:
    ///   - scale: C numbers in f32, of any shape.
    ///   - bias: `[C]`, added to every row.
    ///   - addend: of x's shape, in f32: the residual stream.
    ///   - type: how y is stored.
    /// - Returns: y, of x's shape.
    public func scalingColumns(
        by scale: Tensor, bias: Tensor? = nil, addend: Tensor? = nil, as type: DType = .f32
    ) -> Tensor {
        let columns = scale.count
        precondition(
            shape.last == columns && (bias?.count ?? columns) == columns && (addend?.shape ?? shape) == shape,
            "\(scale.shape) scales for an input of shape \(shape)")
        let (input, factors) = (kept, scale.detached)
        let forward = {
            input().scaledColumns(by: factors, bias: bias?.detached, addend: addend?.detached, as: type)
        }
        let inputs = [self, scale] + [bias, addend].compactMap { $0 }
        let (inputType, wantsInput, wantsScale) = (dtype, isTracked, scale.isTracked)
        let result = forward().recorded(from: inputs) { dy in
            // In the forward pass this was: y = x · scale + bias + addend.
            // So we have: dx = dy · scale, dscale = Σ dy · x, dbias = Σ dy, and the addend's gradient is y's.
            let dx = wantsInput ? dy.scaledColumns(by: factors, as: inputType) : nil
            let dscale = wantsScale ? dy.sumOfProducts(with: input()).reshaped(factors.shape) : nil
            let dbias = bias.map { $0.isTracked ? dy.reshaped([dy.count / columns, columns]).sumOfRows : nil }
            return [dx, dscale] + [dbias, addend.map { _ in dy }].compactMap { $0 }
        }
        // A residual stream is needed as it is; what a product reads is made again from what is kept anyway.
        return addend == nil ? result.rebuilt(by: forward) : result
    }

    /// The same off the tape: merging adapters into weights.
    public func scaledColumns(
        by scale: Tensor, bias: Tensor? = nil, addend: Tensor? = nil, as type: DType = .f32
    ) -> Tensor {
        let out = Tensor(uninitialized: shape, dtype: type, device: device)
        withExtendedLifetime((self, scale, bias, addend)) {
            device.kernels.scale_columns(
                out.array, matrix, scale.floats, bias?.floats, addend?.floats, Int64(count / scale.count),
                Int64(scale.count))
        }
        return out
    }

    /// The sum over the rows of the elementwise product with a tensor of the same shape, `[C]`.
    func sumOfProducts(with other: Tensor) -> Tensor {
        precondition(shape == other.shape, "products of shapes \(shape) and \(other.shape)")
        let columns = shape.last ?? 1
        let sum = Tensor.zeros([columns], device: device)
        withExtendedLifetime((self, other)) {
            device.kernels.sum_products(sum.floats, matrix, other.matrix, Int64(count / columns), Int64(columns))
        }
        return sum
    }
}

extension DropoutMask {
    /// `x` with dropped elements zero and kept ones divided by the probability to keep, on the tape. Gradient: that of y, dropped alike.
    public func dropping(_ x: Tensor) -> Tensor { self(x.detached).recorded(from: [x]) { [self($0)] } }
}

extension Tensor {
    /// Row i of a matrix in f32 times number i of `scale`, off the tape: merging adapters into weights, gradients by coefficients of rows.
    public func scaledRows(by scale: Tensor) -> Tensor {
        precondition(scale.count == rows, "\(scale.shape) scales for the rows of shape \(shape)")
        let out = Tensor(uninitialized: shape, device: device)
        withExtendedLifetime((self, scale)) {
            for row in 0..<rows {
                device.kernels.scale(
                    out.floats + row * columns, floats + row * columns, scale.floats[row], Int64(columns))
            }
        }
        return out
    }
}
